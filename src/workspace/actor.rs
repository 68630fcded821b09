//! Who acts: the user who runs the process, as the system knows them.

use std::sync::{Arc, OnceLock};

/// The user's name, or `uid:1000` where the system has none for the number.
pub fn of_process() -> Arc<str> {
    static USER: OnceLock<Arc<str>> = OnceLock::new();
    let user = USER.get_or_init(|| {
        let uid = uzers::get_effective_uid();
        let name = uzers::get_user_by_uid(uid).map(|user| user.name().to_string_lossy().into_owned());
        name.filter(|name| !name.is_empty()).unwrap_or_else(|| format!("uid:{uid}")).into()
    });
    Arc::clone(user)
}
