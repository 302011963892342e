//! What the document says of each operation, made ready once to look requests over by.

use poem::http::Method;
use poem_openapi::OpenApi;
use poem_openapi::registry::{MetaOperation, MetaOperationParam, MetaParamIn, Registry};

use crate::shape::{expected, range, resolve};

/// Every path that is served, and what can be done there.
pub(crate) struct Operations(Vec<Path>);

pub(crate) struct Path {
    /// As it stands in the document: `/api/payments/{id}`.
    pub(crate) template: String,
    operations: Vec<Operation>,
}

pub(crate) struct Operation {
    method: Method,
    /// Whether it reads a body.
    pub(crate) takes_body: bool,
    /// Whether `metadata[key]` is a parameter of its query.
    pub(crate) filters_metadata: bool,
    parameters: Vec<Parameter>,
}

pub(crate) struct Parameter {
    pub(crate) name: String,
    place: MetaParamIn,
    /// What its value must be.
    expected: String,
    /// Between what it must be.
    range: Option<String>,
}

impl Operations {
    pub(crate) fn of<A: OpenApi>() -> Self {
        let mut registry = Registry::new();
        A::register(&mut registry);
        let mut paths: Vec<Path> = Vec::new();
        for path in A::meta().into_iter().flat_map(|api| api.paths) {
            let operations = path.operations.into_iter().map(|operation| Operation::of(operation, &registry));
            // The operations on a path may lie in several parts of the document.
            match paths.iter_mut().find(|known| known.template == path.path) {
                Some(known) => known.operations.extend(operations),
                None => paths.push(Path { template: path.path, operations: operations.collect() }),
            }
        }
        Self(paths)
    }

    /// The path of a request. Where a fixed one and one with an id both fit, it is the fixed one.
    pub(crate) fn find(&self, path: &str) -> Option<&Path> {
        let fitting = self.0.iter().filter(|known| fits(&known.template, path));
        fitting.min_by_key(|known| known.template.matches('{').count())
    }
}

fn fits(template: &str, path: &str) -> bool {
    let (mut template, mut path) = (template.split('/'), path.split('/'));
    loop {
        match (template.next(), path.next()) {
            (None, None) => return true,
            (Some(wanted), Some(given)) if wanted == given || (wanted.starts_with('{') && !given.is_empty()) => {}
            _ => return false,
        }
    }
}

impl Path {
    /// What answers to this method; `HEAD` is a `GET` without the body.
    pub(crate) fn operation(&self, method: &Method) -> Option<&Operation> {
        let method = if method == Method::HEAD { &Method::GET } else { method };
        self.operations.iter().find(|operation| operation.method == *method)
    }

    /// The methods that the path takes, as `Allow` has them.
    pub(crate) fn allow(&self) -> String {
        let mut methods: Vec<&str> = Vec::new();
        for operation in &self.operations {
            methods.push(operation.method.as_str());
            if operation.method == Method::GET {
                methods.push("HEAD");
            }
        }
        methods.push("OPTIONS");
        methods.join(", ")
    }
}

impl Operation {
    fn of(operation: MetaOperation, registry: &Registry) -> Self {
        let parameters = operation.params.into_iter().map(|parameter| Parameter::of(parameter, registry));
        Self {
            method: operation.method,
            takes_body: operation.request.is_some(),
            filters_metadata: operation.operation_id == Some("list_payments"),
            parameters: parameters.collect(),
        }
    }

    /// The parameters of its query.
    pub(crate) fn query(&self) -> impl Iterator<Item = &Parameter> {
        self.parameters.iter().filter(|parameter| parameter.place == MetaParamIn::Query)
    }

    /// The parameter of its path: none has two.
    pub(crate) fn in_path(&self) -> Option<&Parameter> {
        self.parameters.iter().find(|parameter| parameter.place == MetaParamIn::Path)
    }

    pub(crate) fn parameter(&self, name: &str) -> Option<&Parameter> {
        self.parameters.iter().find(|parameter| parameter.name == name)
    }
}

impl Parameter {
    fn of(parameter: MetaOperationParam, registry: &Registry) -> Self {
        let schema = resolve(registry, &parameter.schema);
        let mut expected = schema.map_or_else(|| "cannot be accepted".to_owned(), expected);
        if schema.is_some_and(|schema| schema.format == Some("date-time")) {
            // What a query has as a + is read as a space.
            expected.push_str(" (a + in a query is written %2B)");
        }
        Self { name: parameter.name, place: parameter.in_type, expected, range: schema.and_then(range) }
    }

    /// What is wrong with it, where the framework gives this reason.
    pub(crate) fn wrong(&self, reason: &str) -> &str {
        match &self.range {
            Some(range) if reason.starts_with("verification failed") => range,
            _ => &self.expected,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::fits;

    #[test]
    fn paths_fit_their_templates() {
        assert!(fits("/api/payments/{id}", "/api/payments/x"));
        assert!(fits("/api/payments", "/api/payments"));
        for other in ["/api/payments", "/api/payments/", "/api/payments/x/", "/api/payments/x/y", "/api/refunds/x", ""]
        {
            assert!(!fits("/api/payments/{id}", other), "{other}");
        }
    }
}
