//! The hosted stores that the settings name: PostgreSQL for the truth, Redis for the cache, Qdrant for the vectors.

use crate::{
    adapters::{
        postgres::{self, PostgresSettings, PostgresStore},
        qdrant::{QdrantSettings, QdrantStore},
        redis::{RedisCache, RedisSettings},
    },
    cli::Role,
    settings::{Secret, Settings},
};
use rae_core::{Builder, Error, Result};
use std::{sync::Arc, time::Duration};

/// What is kept elsewhere than in the embedded store. `Debug` shows no password.
#[derive(Debug)]
pub struct Hosted {
    postgres: Option<PostgresSettings>,
    redis: Option<RedisSettings>,
    qdrant: Option<QdrantSettings>,
    vector_settle: Duration,
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
    /// `redis_host` and its like; Qdrant by `qdrant_url`. Errors never repeat what they hold.
    pub fn from_settings(settings: &Settings) -> Result<Self> {
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
        let key = settings.qdrant_api_key.as_ref().map(|key| key.reveal());
        let qdrant = settings.qdrant_url.as_deref().map(|url| QdrantSettings::new(url, key)).transpose()?;
        Ok(Self { postgres, redis, qdrant, vector_settle: settings.vector_settle })
    }

    /// Refuses what would lose memories, and warns of what costs: a replica without a database keeps its memories to itself.
    pub fn check(&self, settings: &Settings, role: Role) -> Result<()> {
        if self.postgres.is_none() && matches!(role, Role::Api | Role::Worker | Role::Migrate) {
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
