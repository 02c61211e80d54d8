//! Settings of a function, read once from its environment.

use std::collections::BTreeMap;

/// The names of the four tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tables {
    /// The event log.
    pub events: String,
    /// One item per customer.
    pub customers: String,
    /// Decisions.
    pub journal: String,
    /// Everything else.
    pub control: String,
}

impl Tables {
    /// The short name of a table, whatever its stack calls it.
    #[must_use]
    pub fn short_name(&self, table: &str) -> &'static str {
        if table.ends_with(&self.events) {
            "events"
        } else if table.ends_with(&self.customers) {
            "customers"
        } else if table.ends_with(&self.journal) {
            "journal"
        } else {
            "control"
        }
    }
}

/// Whose certificates of AWS endpoints are believed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TrustStore {
    /// Those of Amazon's own five roots.
    #[default]
    Amazon,
    /// Those of every root of the system: where something in between has certificates of its own.
    System,
}

/// What a function is told by its environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The tables.
    pub tables: Tables,
    /// For how many days the event log keeps an event.
    pub event_retention_days: u32,
    /// SNS topics by the name the lifecycle file uses: `TOPICS="team=arn:…,urgent=arn:…"`.
    pub topics: BTreeMap<String, String>,
    /// Where this function's own sweep tickets go.
    pub sweep_queue_url: Option<String>,
    /// What stands before `/v1` in the addresses that senders know.
    pub public_url: Option<String>,
    /// Where privacy requests go to be done.
    pub privacy_queue_url: Option<String>,
    /// Where items of the quarantine go to be taken again.
    pub replay_queue_url: Option<String>,
    /// The bucket that daily roots are kept in, where the stack has one.
    pub roots_bucket: Option<String>,
    /// Whose certificates of AWS endpoints are believed: `TRUST_STORE`, `amazon` or `system`.
    pub trust_store: TrustStore,
    /// `error`, `warn` or `info`.
    pub log_level: String,
}

/// A variable of the environment that is set. The one place that reads it.
#[expect(clippy::disallowed_methods, reason = "this is the place that reads the environment")]
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// A setting that is missing or cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// A variable is not set.
    #[error("the environment variable {0} is not set")]
    Missing(&'static str),
    /// A variable cannot be read.
    #[error("the environment variable {name} is `{value}`: {hint}")]
    Invalid {
        /// Its name.
        name: &'static str,
        /// Its value; no secret is a setting.
        value: String,
        /// What it should look like.
        hint: &'static str,
    },
}

impl Settings {
    /// Reads the process environment.
    ///
    /// # Errors
    /// Names the first variable that is missing or cannot be read.
    pub fn from_env() -> Result<Settings, SettingsError> {
        Settings::from_lookup(variable)
    }

    /// Reads settings from any lookup of variables.
    ///
    /// # Errors
    /// Names the first variable that is missing or cannot be read.
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Result<Settings, SettingsError> {
        let required = |name: &'static str| lookup(name).ok_or(SettingsError::Missing(name));
        let retention = lookup("EVENT_RETENTION_DAYS").unwrap_or_else(|| "400".to_owned());
        let event_retention_days = retention.parse().map_err(|_| SettingsError::Invalid {
            name: "EVENT_RETENTION_DAYS",
            value: retention,
            hint: "a whole number of days",
        })?;
        let mut topics = BTreeMap::new();
        for entry in lookup("TOPICS").iter().flat_map(|list| list.split(',')) {
            let (name, arn) = entry.split_once('=').ok_or_else(|| SettingsError::Invalid {
                name: "TOPICS",
                value: entry.to_owned(),
                hint: "name=arn pairs separated by commas",
            })?;
            topics.insert(name.trim().to_owned(), arn.trim().to_owned());
        }
        let trust_store = match lookup("TRUST_STORE").as_deref() {
            None | Some("amazon") => TrustStore::Amazon,
            Some("system") => TrustStore::System,
            Some(other) => {
                return Err(SettingsError::Invalid {
                    name: "TRUST_STORE",
                    value: other.to_owned(),
                    hint: "`amazon` or `system`",
                });
            }
        };
        Ok(Settings {
            tables: Tables {
                events: required("EVENTS_TABLE")?,
                customers: required("CUSTOMERS_TABLE")?,
                journal: required("JOURNAL_TABLE")?,
                control: required("CONTROL_TABLE")?,
            },
            event_retention_days,
            topics,
            sweep_queue_url: lookup("SWEEP_QUEUE_URL"),
            public_url: lookup("PUBLIC_URL").filter(|url| !url.is_empty()),
            privacy_queue_url: lookup("PRIVACY_QUEUE_URL"),
            replay_queue_url: lookup("REPLAY_QUEUE_URL"),
            roots_bucket: lookup("ROOTS_BUCKET"),
            trust_store,
            log_level: lookup("LOG_LEVEL").unwrap_or_else(|| "info".to_owned()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lookup(name: &str) -> Option<String> {
        let value = match name {
            "EVENTS_TABLE" => "e",
            "CUSTOMERS_TABLE" => "c",
            "JOURNAL_TABLE" => "j",
            "CONTROL_TABLE" => "k",
            "TOPICS" => "team=arn:aws:sns:eu-west-1:1:team,urgent=arn:aws:sns:eu-west-1:1:urgent",
            _ => return None,
        };
        Some(value.to_owned())
    }

    #[test]
    fn topics_are_found_by_the_name_the_lifecycle_file_uses() {
        let settings = Settings::from_lookup(lookup).unwrap();
        assert_eq!(settings.topics["urgent"], "arn:aws:sns:eu-west-1:1:urgent");
        assert_eq!(settings.event_retention_days, 400);
    }

    #[test]
    fn amazons_own_roots_are_trusted_unless_told_otherwise() {
        let of = |store: Option<&'static str>| {
            Settings::from_lookup(move |name| match name {
                "TRUST_STORE" => store.map(str::to_owned),
                _ => lookup(name),
            })
        };
        assert_eq!(of(None).unwrap().trust_store, TrustStore::Amazon);
        assert_eq!(of(Some("system")).unwrap().trust_store, TrustStore::System);
        let error = of(Some("none")).unwrap_err();
        assert!(error.to_string().contains("`amazon` or `system`"), "{error}");
    }

    #[test]
    fn a_missing_table_is_named() {
        let error = Settings::from_lookup(|_| None).unwrap_err();
        assert!(error.to_string().contains("EVENTS_TABLE"), "{error}");
    }
}
