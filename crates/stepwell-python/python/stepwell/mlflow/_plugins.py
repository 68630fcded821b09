"""What MLflow finds as plugins. It loads them while it is half imported itself, so that the stores come when asked."""


def tracking_store(store_uri, artifact_uri=None, **_):
    """The tracking store of `stepwell:PATH`, or of `stepwell+https://HOST`."""
    if store_uri.startswith("stepwell+"):
        from .remote import RemoteStore

        return RemoteStore(store_uri, artifact_uri)
    from .tracking import StepwellStore

    return StepwellStore(store_uri, artifact_uri)


def registry_store(store_uri, tracking_uri=None, **_):
    """The model registry of `stepwell:PATH`, or of `stepwell+https://HOST`."""
    if store_uri.startswith("stepwell+"):
        from .remote import RemoteRegistry

        return RemoteRegistry(store_uri, tracking_uri)
    from .registry import StepwellRegistry

    return StepwellRegistry(store_uri, tracking_uri)
