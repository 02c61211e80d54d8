//! What DynamoDB bills: read and write units by table, as it reports them itself.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_dynamodb::types::ConsumedCapacity;
use serde::Serialize;

use crate::settings::Tables;

/// Units a table was billed for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Units {
    /// Write request units.
    pub write_units: f64,
    /// Read request units.
    pub read_units: f64,
    /// Calls that were billed.
    pub calls: u64,
}

/// Adds up consumed units; clones share one count.
#[derive(Debug, Clone, Default)]
pub struct Meter(Arc<Mutex<BTreeMap<&'static str, Units>>>);

/// Whether a call reads or writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    Write,
}

impl Meter {
    /// Adds what a call reported.
    pub(crate) fn add(&self, tables: &Tables, access: Access, consumed: &[ConsumedCapacity]) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for capacity in consumed {
            let table = tables.short_name(capacity.table_name().unwrap_or_default());
            let units = counts.entry(table).or_default();
            let total = capacity.capacity_units().unwrap_or_default();
            units.calls += 1;
            match access {
                Access::Read => units.read_units += total,
                Access::Write => units.write_units += total,
            }
        }
    }

    /// Units by table since the start or the last reset.
    #[must_use]
    pub fn read(&self) -> BTreeMap<&'static str, Units> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The sum over all tables.
    #[must_use]
    pub fn total(&self) -> Units {
        self.read().values().fold(Units::default(), |sum, units| Units {
            write_units: sum.write_units + units.write_units,
            read_units: sum.read_units + units.read_units,
            calls: sum.calls + units.calls,
        })
    }

    /// Starts again from nothing.
    pub fn reset(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
