//! The hosted stores that the settings name: PostgreSQL for the truth, Redis for the cache.

use crate::{
    adapters::{
        postgres::{self, PostgresSettings, PostgresStore},
        redis::{RedisCache, RedisSettings},
    },
    cli::Role,
    settings::{Secret, Settings},
};
use rae_core::{Builder, Error, Result};
use std::sync::Arc;

/// What is kept elsewhere than in the embedded store. `Debug` shows no password.
#[derive(Debug)]
pub struct Hosted {
    postgres: Option<PostgresSettings>,
    redis: Option<RedisSettings>,
}

/// The hosted stores that are open: for their health and their figures. Memories are read and written by the engine alone.
#[derive(Debug, Default)]
pub struct Backends {
    /// PostgreSQL.
    pub postgres: Option<Arc<PostgresStore>>,
    /// Redis.
    pub redis: Option<Arc<RedisCache>>,
}

impl Hosted {
    /// What the settings name: PostgreSQL by `database_url`, else by `pghost` and its like; Redis by `redis_url`, else by
    /// `redis_host` and its like. Errors never repeat what they hold.
    pub fn from_settings(settings: &Settings, env: impl Fn(&str) -> Option<String>) -> Result<Self> {
        if env("QDRANT_URL").is_some_and(|url| !url.is_empty()) {
            return Err(Error::unsupported(
                "QDRANT_URL is set, but this version has no Qdrant: unset it, and vectors are kept beside the memories and \
                 searched exactly in each process",
            ));
        }
        let postgres = match (&settings.database_url, &settings.postgres.host) {
            (Some(url), _) => Some(PostgresSettings::from_url(url.reveal())?),
            (None, Some(_)) => Some(PostgresSettings::from_variables(&settings.postgres)?),
            (None, None) => None,
        };
        let redis = match (&settings.redis_url, &settings.redis_host) {
            (Some(url), _) => Some(RedisSettings::from_url(url.reveal())?),
            (None, Some(host)) => {
                let password = settings.redis_password.as_ref().map(Secret::reveal);
                Some(RedisSettings::from_variables(host, settings.redis_port, password)?)
            }
            (None, None) => None,
        };
        Ok(Self { postgres, redis })
    }

    /// Refuses what would lose memories, and warns of what costs: a replica without a database keeps its memories to itself.
    pub fn check(&self, settings: &Settings, role: Role) -> Result<()> {
        if self.postgres.is_none() && matches!(role, Role::Api | Role::Migrate) {
            if !settings.data_dir_is_given {
                return Err(Error::invalid(
                    "neither DATABASE_URL nor PGHOST is set: set one of them, as replicas share memories by their database \
                     alone; or name the folder of an embedded store with --data or RAE_DATA_DIR",
                )
                .with_code("no_database"));
            }
            tracing::warn!("no DATABASE_URL: memories are in an embedded store, which servers elsewhere do not see");
        }
        if self.postgres.is_some() && self.redis.is_none() && role == Role::Api {
            tracing::warn!("no REDIS_URL: each replica has a cache of its own");
        }
        Ok(())
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
    pub async fn plug(self, mut builder: Builder) -> Result<(Builder, Backends)> {
        let mut backends = Backends::default();
        tracing::info!(
            memories = if self.postgres.is_some() { "PostgreSQL" } else { "embedded" },
            cache = if self.redis.is_some() { "Redis" } else { "in process" },
            vectors = "in process",
            "stores"
        );
        if let Some(settings) = self.postgres {
            let store = Arc::new(PostgresStore::open(settings).await?);
            builder = builder.relational(Arc::<PostgresStore>::clone(&store));
            backends.postgres = Some(store);
        }
        if let Some(settings) = self.redis {
            let cache = Arc::new(RedisCache::open(settings)?);
            builder = builder.cache(Arc::<RedisCache>::clone(&cache));
            backends.redis = Some(cache);
        }
        Ok((builder, backends))
    }
}
