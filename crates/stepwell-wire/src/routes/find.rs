//! Which route a path and a method name.

use std::collections::BTreeMap;

use percent_encoding::percent_decode_str;

use super::route::{Route, Verb};
use super::table::TABLE;
use crate::call::Input;
use crate::fault::Fault;

/// All paths of the table.
#[derive(Debug)]
pub struct Paths {
    tree: matchit::Router<usize>,
    places: Vec<Place>,
}

/// What answers at a path.
#[derive(Debug, Default)]
struct Place {
    routes: Vec<&'static Route>,
    /// The names of all methods that are answered there, OPTIONS too.
    methods: String,
}

/// What is at a path.
#[derive(Debug)]
pub enum Found<'a> {
    /// This route.
    Route(Matched<'a>),
    /// Routes of other methods, whose names these are, OPTIONS too: `GET, HEAD, OPTIONS`.
    Others(&'a str),
    /// Nothing.
    Nothing,
}

/// The route that a path and a method name, and the parts of the path for the names in the route.
#[derive(Clone, Debug)]
pub struct Matched<'a> {
    /// The route.
    pub route: &'static Route,
    /// By name, as they stand in the path.
    params: Vec<(String, &'a str)>,
}

impl Paths {
    /// Every path of the table, and each with `prefix` before it too, unless that is empty.
    ///
    /// # Panics
    /// When the prefix has braces, which are no letters of a path.
    #[must_use]
    pub fn new(prefix: &str) -> Self {
        let mut places: BTreeMap<String, Place> = BTreeMap::new();
        for route in TABLE {
            let plain = route.paths();
            let prefixed = plain.iter().filter(|_| !prefix.is_empty()).map(|path| format!("{prefix}{path}"));
            for path in prefixed.collect::<Vec<_>>().into_iter().chain(plain) {
                places.entry(path).or_default().routes.push(route);
            }
        }
        let mut all = Self { tree: matchit::Router::new(), places: Vec::with_capacity(places.len()) };
        for (path, mut place) in places {
            let names = place.routes.iter().flat_map(|route| route.verb.names()).chain(&["OPTIONS"]);
            place.methods = names.copied().collect::<Vec<_>>().join(", ");
            all.tree.insert(&path, all.places.len()).unwrap_or_else(|error| panic!("the path {path}: {error}"));
            all.places.push(place);
        }
        all
    }

    /// What a method finds at a path, which is not decoded yet.
    #[must_use]
    pub fn find<'a>(&'a self, method: &str, path: &'a str) -> Found<'a> {
        let Ok(found) = self.tree.at(path) else { return Found::Nothing };
        let place = &self.places[*found.value];
        let verb = Verb::of(method);
        match place.routes.iter().find(|route| Some(route.verb) == verb) {
            Some(route) => {
                let params = found.params.iter().map(|(name, value)| (name.to_owned(), value)).collect();
                Found::Route(Matched { route, params })
            }
            None => Found::Others(&place.methods),
        }
    }
}

impl Matched<'_> {
    /// The head of a call: what the path and the arguments of the URL say, decoded once.
    ///
    /// # Errors
    /// 400 for a path that is not UTF-8 once it is decoded.
    pub fn input(&self, query: &str) -> Result<Input, Fault> {
        let decoded = |(name, value): &(String, &str)| {
            let value = percent_decode_str(value).decode_utf8();
            value
                .map(|value| (name.clone(), value.into_owned()))
                .map_err(|_| Fault::invalid("The address is not UTF-8."))
        };
        let path = self.params.iter().map(decoded).collect::<Result<_, _>>()?;
        let query = form_urlencoded::parse(query.as_bytes())
            .map(|(name, value)| (name.into_owned(), value.into_owned()))
            .collect();
        Ok(Input { verb: self.route.verb, path, query })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The route's path and what stands in it for names; else the methods that there are.
    fn found(paths: &Paths, method: &str, path: &str) -> (String, Vec<(String, String)>) {
        match paths.find(method, path) {
            Found::Route(matched) => (matched.route.path.to_owned(), matched.input("").unwrap().path),
            Found::Others(methods) => (methods.to_owned(), Vec::new()),
            Found::Nothing => Default::default(),
        }
    }

    #[test]
    fn a_path_and_a_method_name_one_route() {
        let plain = Paths::new("");
        let at = |method, path| found(&plain, method, path);
        assert_eq!(at("GET", "/api/2.0/mlflow/runs/get").0, "/mlflow/runs/get");
        assert_eq!(at("HEAD", "/ajax-api/2.0/preview/mlflow/runs/get").0, "/mlflow/runs/get");
        assert_eq!(at("POST", "/api/2.0/mlflow/runs/get").0, "GET, HEAD, OPTIONS");
        assert_eq!(at("OPTIONS", "/api/2.0/mlflow/experiments/search").0, "GET, HEAD, POST, OPTIONS");
        for nowhere in ["", "*", "/api/2.0/mlflow/runs/get/", "/api/2.0/mlflow/runs", "//api/2.0/mlflow/runs/get"] {
            assert_eq!(at("GET", nowhere).0, "", "{nowhere}");
        }
        // A path of the table stands before one with a name in its place.
        assert_eq!(at("GET", "/api/2.0/mlflow/logged-models/search").0, "POST, OPTIONS");
        let (route, params) = at("GET", "/api/2.0/mlflow/logged-models/m-1%2F2");
        assert_eq!(
            (route.as_str(), params),
            ("/mlflow/logged-models/{model_id}", vec![("model_id".into(), "m-1/2".into())])
        );
        let (_, params) = at("PUT", "/api/2.0/mlflow-artifacts/artifacts/a/b%20c");
        assert_eq!(params, [("artifact_path".into(), "a/b c".into())]);
        let Found::Route(bad) = plain.find("GET", "/api/2.0/mlflow/logged-models/%ff") else { panic!("it is there") };
        assert_eq!(bad.input("").unwrap_err().message, "The address is not UTF-8.");
    }

    #[test]
    fn a_prefix_may_stand_before_every_path() {
        let prefixed = Paths::new("/team/a");
        for path in ["/health", "/team/a/health"] {
            assert_eq!(found(&prefixed, "GET", path).0, "/health", "{path}");
        }
        assert_eq!(found(&prefixed, "GET", "/team/health").0, "");
    }

    #[test]
    fn arguments_are_decoded_once_and_in_order() {
        let paths = Paths::new("");
        let Found::Route(matched) = paths.find("GET", "/graphql") else { panic!("it is there") };
        let input = matched.input("b=1&a=%2525&b=x+y&c").unwrap();
        let pairs: Vec<_> = input.query.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(pairs, [("b", "1"), ("a", "%25"), ("b", "x y"), ("c", "")]);
    }
}
