//! Which token goes to which server. Credentials of this user are in a file that only the user can read, or in the
//! environment. Nothing here talks to a server.

mod file;
mod origin;

pub use file::{Credential, Credentials};
pub use origin::Origin;

/// The token of the server that the process is told to use, instead of one in the file.
pub const TOKEN: &str = "STEPWELL_TOKEN";
/// If set to anything but 0, tokens may go to other machines unencrypted.
pub const ALLOW_PLAIN_HTTP: &str = "STEPWELL_ALLOW_PLAIN_HTTP";
/// The file of credentials, instead of the usual one.
pub const FILE: &str = "STEPWELL_CREDENTIALS";

/// The credential for a server, if the environment or the file has one.
///
/// # Errors
/// Why it cannot be used, in words for the user: the file cannot be read, or the token would go to another machine
/// unencrypted.
pub fn credential(origin: &Origin) -> Result<Option<Credential>, String> {
    let kept = Credentials::of_user().and_then(|kept| kept.get(origin));
    let found = match std::env::var(TOKEN).ok().filter(|token| !token.is_empty()) {
        // The file may say more of the server, but need not be there.
        Some(token) => {
            let kept = kept.unwrap_or_default().unwrap_or_default();
            Some(Credential { token, ..kept })
        }
        None => kept?,
    };
    let allowed = std::env::var(ALLOW_PLAIN_HTTP).is_ok_and(|value| !value.is_empty() && value != "0");
    match &found {
        Some(credential) if !origin.is_private() && !credential.allow_plain_http && !allowed => Err(format!(
            "the token for {origin} would cross the network unencrypted. Use https, or say that this is meant: \
             `stepwell login {origin} --allow-plain-http`, or {ALLOW_PLAIN_HTTP}=1"
        )),
        _ => Ok(found),
    }
}
