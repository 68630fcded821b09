//! The command line of a run, in the form in which it is stored: without secrets.

/// What a secret is replaced by.
const HIDDEN: &str = "***";
/// Words of an option's or a variable's name whose value is a secret.
const SECRET: [&str; 11] = [
    "password",
    "passwd",
    "pwd",
    "passphrase",
    "secret",
    "token",
    "apikey",
    "credential",
    "credentials",
    "auth",
    "bearer",
];
/// Pairs of words that say the same.
const SECRET_PAIRS: [(&str, &str); 4] = [("api", "key"), ("access", "key"), ("private", "key"), ("auth", "key")];

/// The words without secrets, and how many were hidden: values of `--api-key VALUE`, `--token=VALUE`, `KEY_SECRET=…`,
/// and users in addresses.
pub(super) fn plain(words: &[String]) -> (Vec<String>, usize) {
    let (mut plain, mut hidden) = (Vec::with_capacity(words.len()), 0);
    let mut next_is_secret = false;
    for word in words {
        let kept = match word.split_once('=') {
            _ if next_is_secret && !word.starts_with("--") => HIDDEN.to_owned(),
            Some((name, value)) if !value.is_empty() && is_secret(name) => format!("{name}={HIDDEN}"),
            _ => without_user(word),
        };
        next_is_secret = word.starts_with('-') && !word.contains('=') && is_secret(word);
        hidden += usize::from(kept != *word);
        plain.push(kept);
    }
    (plain, hidden)
}

/// Whether a name says that its value is a secret.
fn is_secret(name: &str) -> bool {
    // `apiKey` has two words too.
    let mut spaced = String::with_capacity(name.len() + 4);
    let mut before = ' ';
    for letter in name.chars() {
        if letter.is_uppercase() && before.is_lowercase() {
            spaced.push(' ');
        }
        spaced.push(letter);
        before = letter;
    }
    let words: Vec<String> =
        spaced.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_lowercase).collect();
    words.iter().any(|word| SECRET.contains(&word.as_str()))
        || words.windows(2).any(|pair| SECRET_PAIRS.contains(&(pair[0].as_str(), pair[1].as_str())))
}

/// An address without the user and the password that stand in it.
pub(super) fn without_user(text: &str) -> String {
    let Some(at) = text.find("://") else { return text.to_owned() };
    let (scheme, rest) = text.split_at(at + 3);
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    match rest[..end].rfind('@') {
        Some(user) => format!("{scheme}{HIDDEN}{}", &rest[user..]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_hidden_and_counted() {
        let check = |given: &str, kept: &str, count: usize| {
            let words: Vec<String> = given.split(' ').map(str::to_owned).collect();
            assert_eq!(plain(&words), (kept.split(' ').map(str::to_owned).collect(), count), "{given}");
        };
        check("python train.py --lr 0.1", "python train.py --lr 0.1", 0);
        check("a --api-key abc --x 1", "a --api-key *** --x 1", 1);
        check("a --apiKey=abc --hf_token abc", "a --apiKey=*** --hf_token ***", 2);
        check("env WANDB_API_KEY=k DB_PASSWORD=p x", "env WANDB_API_KEY=*** DB_PASSWORD=*** x", 2);
        check("a +logger.api_key=xyz data=1", "a +logger.api_key=*** data=1", 1);
        check("a --tokenizer bert --max-tokens 10 --author me", "a --tokenizer bert --max-tokens 10 --author me", 0);
        check("a http://me:pw@lab:5000/x?y=a@b", "a http://***@lab:5000/x?y=a@b", 1);
        check("a --auth --verbose", "a --auth --verbose", 0);
    }
}
