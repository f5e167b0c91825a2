//! The OpenAPI description: what the handlers say of themselves, and what is the same for all.

use super::{access, schema};
use axum::http::Method;
use utoipa::{
    OpenApi as _,
    openapi::{
        Components, Info, LicenseBuilder, OpenApi, Ref, RefOr, Required, Response, ResponseBuilder, Server,
        content::ContentBuilder,
        path::{Operation, ParameterBuilder, ParameterIn},
        schema::{ObjectBuilder, Type},
        security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityRequirement, SecurityScheme},
    },
};

#[derive(utoipa::OpenApi)]
#[openapi(components(schemas(schema::Failure)))]
struct Shared;

/// The frame that the routes are put into.
pub fn base() -> OpenApi {
    let mut api = Shared::openapi();
    api.info = Info::new("RAE", rae_core::version());
    api.info.description = Some(
        "Long-term memory for AI agents. Every route under /v1 but those of the operator (/v1/tenants, /v1/api-keys, \
         /v1/admin) names a tenant in X-Tenant-ID, or shows a key that is bound to one, and may name a project in X-Project-ID. \
         Bodies are JSON whatever their Content-Type says. Unknown fields and parameters are refused."
            .to_owned(),
    );
    api.info.license = Some(LicenseBuilder::new().name("Apache License 2.0").identifier(Some("Apache-2.0")).build());
    // Wherever this description was fetched from.
    api.servers = Some(vec![Server::new("/")]);
    let key = SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::new("X-API-Key")));
    let components = api.components.get_or_insert_with(Components::new);
    components.add_security_scheme("bearer", SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)));
    components.add_security_scheme("apiKey", key);
    api
}

/// The whole description.
pub fn openapi() -> OpenApi {
    let mut api = super::described().into_openapi();
    for (path, item) in &mut api.paths.paths {
        let methods = [
            (Method::GET, &mut item.get),
            (Method::POST, &mut item.post),
            (Method::PUT, &mut item.put),
            (Method::PATCH, &mut item.patch),
            (Method::DELETE, &mut item.delete),
        ];
        for (method, operation) in methods {
            if let Some(operation) = operation {
                complete(&method, path, operation);
            }
        }
    }
    api
}

/// The description as text, as `rae-server openapi` prints it.
pub fn openapi_text() -> Result<String, rae_core::Error> {
    let text = openapi().to_pretty_json();
    text.map(|t| t + "\n").map_err(|e| rae_core::Error::internal("the description could not be written").with_source(e))
}

/// Headers, the id in the path, and the errors that all routes share.
fn complete(method: &Method, path: &str, operation: &mut Operation) {
    operation.security = Some(security(method, path));
    let too_long = ResponseBuilder::new().description("The headers are too long").build();
    operation.responses.responses.insert("431".to_owned(), RefOr::T(too_long));
    if !path.starts_with("/health") {
        refuse(
            operation,
            403,
            "The Host may not be named while the server trusts the tenant header on its own machine",
        );
    }
    let parameters = operation.parameters.get_or_insert_with(Vec::new);
    let mut add = |name: &str, place: ParameterIn, required: bool, about: &str| {
        let text = ObjectBuilder::new().schema_type(Type::String).build();
        let required = if required { Required::True } else { Required::False };
        let parameter = ParameterBuilder::new().name(name).parameter_in(place).required(required);
        parameters.push(RefOr::T(parameter.description(Some(about)).schema(Some(text)).build()));
    };
    if path.contains("{id}") {
        let about = match path {
            "/v1/tenants/{id}" => "Name of a tenant",
            "/v1/api-keys/{id}" => "Id of a key, 32 hexadecimal digits",
            path if path.starts_with("/v1/jobs/") => "Id of a job, a UUID",
            path if path.starts_with("/v1/costs/") => "Id of a reservation, a UUID",
            _ => "Id of a memory, a UUID",
        };
        add("id", ParameterIn::Path, true, about);
    }
    if !path.starts_with("/v1/") {
        return;
    }
    let mut errors = vec![
        (400, "Malformed JSON, header or parameter"),
        (503, "The server is busy or the store does not answer; see Retry-After"),
        (504, "It took too long"),
    ];
    if access::need(method, path) == Some(access::Need::Operator) {
        errors.push((403, "The operator's key is needed"));
    } else {
        add("X-Tenant-ID", ParameterIn::Header, true, "Whose memories: 1 to 256 bytes, compared byte for byte");
        add("X-Project-ID", ParameterIn::Header, false, "Project of the tenant; default `default`");
        errors.push((401, "A key is needed, or the key is not known"));
        errors.push((403, "The key is bound to another tenant or project, or its role is too weak"));
        errors.push((429, "The tenant makes too many requests; see Retry-After and RateLimit"));
    }
    if operation.request_body.is_some() {
        errors.push((408, "The body did not arrive in time"));
        errors.push((413, "The body is too long"));
        errors.push((422, "The body is JSON, but a field is wrong"));
    }
    match path {
        "/v1/memories/{id}"
        | "/v1/memories/{id}/history"
        | "/v1/memories/{id}/feedback"
        | "/v1/memories/{id}/vector"
            if operation.operation_id.as_deref() != Some("forget") =>
        {
            errors.push((404, "There is no such memory in this project"));
        }
        "/v1/graph/relations" if *method == Method::POST => {
            errors.push((404, "`source_id` names no memory of this project"));
        }
        "/v1/graph/relations/{id}" => errors.push((404, "There is no such relation in this project")),
        "/v1/tenants/{id}" if *method == Method::GET => errors.push((404, "There is no such tenant")),
        "/v1/api-keys/{id}" => errors.push((404, "There is no such key")),
        "/v1/tenants" if *method == Method::POST => errors.push((409, "The tenant is registered already")),
        "/v1/memories" if operation.request_body.is_some() => {
            errors.push((409, "The idempotency key was used for another body"))
        }
        "/v1/maintain" => errors.push((403, "`now` needs the operator's key")),
        "/v1/costs/reservations/{id}/settle" => {
            errors.push((404, "There is no such reservation in this project, or it has ended"));
        }
        "/v1/jobs/{id}/requeue" => errors.push((404, "There is no such dead job in this project")),
        _ => {}
    }
    if operation.operation_id.as_deref() == Some("update") {
        errors.push((409, "The memory is not as `expected_version` says, or the text is another memory's"));
        errors.push((412, "The memory is not as If-Match says"));
    }
    for (status, about) in errors {
        refuse(operation, status, about);
    }
}

/// What a request must show. Under /v1 a key is not needed while the tenant header is trusted.
fn security(method: &Method, path: &str) -> Vec<SecurityRequirement> {
    let key = ["bearer", "apiKey"].map(|scheme| SecurityRequirement::new(scheme, [""; 0])).into_iter();
    match access::need(method, path) {
        Some(access::Need::Operator) => key.collect(),
        Some(access::Need::Role(_)) => key.chain([SecurityRequirement::default()]).collect(),
        None => Vec::new(),
    }
}

fn refuse(operation: &mut Operation, status: u16, about: &str) {
    operation.responses.responses.insert(status.to_string(), RefOr::T(failure(about)));
}

fn failure(about: &str) -> Response {
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Failure"))).build();
    ResponseBuilder::new().description(about).content("application/json", content).build()
}
