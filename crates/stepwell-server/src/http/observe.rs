//! What the server tells about itself: Prometheus metrics and the request log.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use axum::http::Method;
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// Labels of the counter of requests.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RequestLabels {
    method: String,
    route: &'static str,
    status: u16,
}

/// Labels of the histogram of durations.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RouteLabels {
    route: &'static str,
}

/// The server's own metrics.
#[derive(Debug)]
pub(crate) struct Observed {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    seconds: Family<RouteLabels, Histogram, fn() -> Histogram>,
    /// Connections that are open.
    pub(crate) connections: Gauge,
    /// Metric points that were stored.
    pub(crate) points: Counter<u64, AtomicU64>,
    /// Bytes of artifacts that were stored.
    pub(crate) uploaded: Counter<u64, AtomicU64>,
}

/// Buckets from half a millisecond to 16 seconds, each twice the one before.
fn durations() -> Histogram {
    Histogram::new(prometheus_client::metrics::histogram::exponential_buckets(0.000_5, 2.0, 16))
}

impl Default for Observed {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("stepwell");
        let requests = Family::default();
        let seconds = Family::new_with_constructor(durations as fn() -> Histogram);
        let (connections, points, uploaded) = (Gauge::default(), Counter::default(), Counter::default());
        registry.register("http_requests", "Requests by route and status", requests.clone());
        registry.register("http_request_seconds", "Seconds until the answer's head", seconds.clone());
        registry.register("http_connections", "Open connections", connections.clone());
        registry.register("points_logged", "Metric points stored through the API", points.clone());
        registry.register("artifact_bytes_uploaded", "Bytes of artifacts stored", uploaded.clone());
        Self { registry, requests, seconds, connections, points, uploaded }
    }
}

impl Observed {
    /// Notes a request that was answered, and writes it to the log. `route` is a path of the table, never the client's.
    pub(crate) fn request(&self, method: &Method, route: &'static str, status: u16, took: Duration) {
        let method = if method.as_str().len() <= 7 { method.as_str() } else { "OTHER" };
        let labels = RequestLabels { method: method.to_owned(), route, status };
        self.requests.get_or_create(&labels).inc();
        self.seconds.get_or_create(&RouteLabels { route }).observe(took.as_secs_f64());
        let micros = took.as_micros() as u64;
        if status >= 500 {
            tracing::warn!(method, route, status, micros, "request");
        } else {
            tracing::debug!(method, route, status, micros, "request");
        }
    }

    /// All metrics in OpenMetrics' text form.
    pub(crate) fn text(&self) -> String {
        let mut to = String::new();
        // A string takes every write.
        let _ = text::encode(&mut to, &self.registry);
        to
    }
}
