//! Tenants and keys.

use utoipa::{IntoParams, ToSchema};

/// What a key may do; each role may do what those before it may.
#[derive(ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    Viewer,
    Analyst,
    Developer,
    Admin,
    Owner,
}

/// A tenant to register.
#[derive(ToSchema)]
pub struct NewTenant {
    /// Its name, as in X-Tenant-ID: 1 to 256 bytes without control characters.
    #[schema(min_length = 1)]
    pub id: String,
    /// What people call it; at most 256 bytes.
    pub label: Option<String>,
}

/// A tenant.
#[derive(ToSchema)]
pub struct Tenant {
    pub id: String,
    pub label: Option<String>,
    /// When it was registered; null where it is known only by its memories.
    #[schema(format = DateTime)]
    pub created_at: Option<String>,
}

/// A page of tenants.
#[derive(ToSchema)]
pub struct Tenants {
    pub items: Vec<Tenant>,
    /// Where the next page begins, which may be empty; null when there is none.
    pub next_cursor: Option<String>,
}

/// A key to make.
#[derive(ToSchema)]
pub struct NewKey {
    /// Whose key; X-Tenant-ID says the same. One that is not registered is registered.
    pub tenant: Option<String>,
    /// The only project that it shall reach; default all of the tenant.
    pub project: Option<String>,
    /// Default developer.
    pub role: Option<Role>,
    /// What its owner calls it; at most 256 bytes.
    pub label: Option<String>,
    /// From when on it lets nobody in; default never.
    #[schema(format = DateTime)]
    pub expires_at: Option<String>,
}

/// A key without its secret.
#[derive(ToSchema)]
pub struct ApiKey {
    /// Its public part, 32 hexadecimal digits.
    pub id: String,
    pub tenant: String,
    pub project: Option<String>,
    pub role: Role,
    pub label: String,
    #[schema(format = DateTime)]
    pub created_at: String,
    #[schema(format = DateTime)]
    pub expires_at: Option<String>,
    #[schema(format = DateTime)]
    pub revoked_at: Option<String>,
}

/// A key that was made, with its secret.
#[derive(ToSchema)]
pub struct CreatedKey {
    #[serde(flatten)]
    pub stored: ApiKey,
    /// The whole key: `rae_<id>_<secret>`. Shown this once.
    pub key: String,
}

/// A page of keys.
#[derive(ToSchema)]
pub struct ApiKeys {
    pub items: Vec<ApiKey>,
    /// Where the next page begins, which may be empty; null when there is none.
    pub next_cursor: Option<String>,
}

/// Parameters of a page.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PageParameters {
    /// Size of the page; default 50.
    #[param(minimum = 1, maximum = 1000)]
    pub limit: Option<i64>,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
}
