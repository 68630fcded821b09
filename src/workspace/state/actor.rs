//! The actor: the user who runs the process.

use std::sync::OnceLock;

/// The local users. Looking up others may involve slow network services.
const USERS: &str = "/etc/passwd";

/// The user's name, or `uid:1000` where the system has none for the number. The first call in a process reads the list
/// of local users, and may ask services of the network for a user who is not in it.
pub fn of_process() -> &'static str {
    static USER: OnceLock<String> = OnceLock::new();
    USER.get_or_init(|| {
        let uid = uzers::get_effective_uid();
        let users = std::fs::read(USERS).unwrap_or_default();
        let local = name_in(&String::from_utf8_lossy(&users), uid).map(str::to_owned);
        let name = local.or_else(|| Some(uzers::get_user_by_uid(uid)?.name().to_string_lossy().into_owned()));
        name.filter(|name| !name.is_empty()).unwrap_or_else(|| format!("uid:{uid}"))
    })
}

/// The name of a user in the list of local users: lines of `name:password:uid:…` (passwd(5)).
fn name_in(users: &str, uid: u32) -> Option<&str> {
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        (fields.nth(1)?.parse() == Ok(uid)).then_some(name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_users_are_found_by_their_numbers() {
        let users = "root:x:0:0:root:/root:/bin/sh\n# a remark\n\n+::::::\nbroken:x\nann:x:1000:1000:Ann,,,:/home/ann:/bin/sh\n";
        assert_eq!((name_in(users, 0), name_in(users, 1000)), (Some("root"), Some("ann")));
        assert_eq!((name_in(users, 1), name_in("", 0)), (None, None));
        assert!(!of_process().is_empty());
    }
}
