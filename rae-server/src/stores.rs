//! The hosted stores that the environment and the settings name: PostgreSQL for the truth, Redis for the cache, Qdrant for the
//! vectors.

use crate::adapters::{
    postgres::{self, PgVariables, PostgresSettings, PostgresStore},
    qdrant::{QdrantSettings, QdrantStore},
    redis::{RedisCache, RedisSettings},
};
use crate::settings::Settings;
use rae_core::{Builder, Result};
use std::{sync::Arc, time::Duration};

/// What is kept elsewhere than in the embedded store. `Debug` shows no password.
#[derive(Debug)]
pub struct Hosted {
    postgres: Option<PostgresSettings>,
    redis: Option<RedisSettings>,
    qdrant: Option<QdrantSettings>,
    vector_settle: Duration,
}

impl Hosted {
    /// Reads `DATABASE_URL` (else `PGHOST` and its like) and `REDIS_URL` (else `REDIS_HOST` and its like), and Qdrant's place
    /// from the settings. Errors never repeat what they hold.
    pub fn from_env(settings: &Settings, env: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let value = |name: &str| env(name).filter(|value| !value.is_empty());
        let postgres = match (value("DATABASE_URL"), value("PGHOST")) {
            (Some(url), _) => Some(PostgresSettings::from_url(&url)?),
            (None, Some(host)) => Some(PostgresSettings::from_variables(&PgVariables {
                host: Some(host),
                port: value("PGPORT"),
                user: value("PGUSER"),
                password: value("PGPASSWORD"),
                database: value("PGDATABASE"),
                sslmode: value("PGSSLMODE"),
                sslrootcert: value("PGSSLROOTCERT"),
            })?),
            (None, None) => None,
        };
        let redis = match (value("REDIS_URL"), value("REDIS_HOST")) {
            (Some(url), _) => Some(RedisSettings::from_url(&url)?),
            (None, Some(host)) => {
                let (port, password) = (value("REDIS_PORT"), value("REDIS_PASSWORD"));
                Some(RedisSettings::from_variables(&host, port.as_deref(), password.as_deref())?)
            }
            (None, None) => None,
        };
        let key = settings.qdrant_api_key.as_ref().map(|key| key.reveal());
        let qdrant = settings.qdrant_url.as_deref().map(|url| QdrantSettings::new(url, key)).transpose()?;
        Ok(Self { postgres, redis, qdrant, vector_settle: settings.vector_settle })
    }

    /// Whether memories are kept in PostgreSQL.
    pub fn keeps_memories(&self) -> bool {
        self.postgres.is_some()
    }

    /// Brings PostgreSQL to this version's schema. Safe to run twice at once; does nothing where there is none.
    pub async fn migrate(&self) -> Result<()> {
        match &self.postgres {
            Some(settings) => postgres::migrate(settings).await,
            None => Ok(()),
        }
    }

    /// Puts the hosted stores into what will be opened, and says at the start where everything is kept.
    pub async fn plug(self, mut builder: Builder) -> Result<Builder> {
        tracing::info!(
            memories = if self.postgres.is_some() { "PostgreSQL" } else { "embedded" },
            cache = if self.redis.is_some() { "Redis" } else { "in process" },
            vectors = if self.qdrant.is_some() { "Qdrant" } else { "in process" },
            "stores"
        );
        if let Some(settings) = self.qdrant {
            if settings.shows_its_key() {
                tracing::warn!("QDRANT_API_KEY goes over the network unencrypted; use https in QDRANT_URL");
            }
            builder = builder.vectors(Arc::new(QdrantStore::open(&settings)?)).vector_settle(self.vector_settle);
        }
        if let Some(settings) = self.postgres {
            builder = builder.relational(Arc::new(PostgresStore::open(settings).await?));
        }
        if let Some(settings) = self.redis {
            builder = builder.cache(Arc::new(RedisCache::open(settings)?));
        }
        Ok(builder)
    }
}
