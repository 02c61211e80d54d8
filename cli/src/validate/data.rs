//! The company's own customers, who are asked what a file makes of them.
//!
//! Where something rolls up, the logs are read twice: once for who is below whom, and once to ask
//! everybody, those that lead to each other together.

use std::path::Path;

use anyhow::{Result, bail};
use domain::customer::Customer;
use domain::facts::Facts;
use domain::hierarchy::{Below, Family};
use domain::lifecycle::{Lifecycle, Survey};
use domain::replay::{in_order, profile_at};
use jiff::Timestamp;
use platform::CustomerKey;

use crate::pack::database_file;
use crate::plan::families::{Families, parents};
use crate::plan::source::{Customers, Source, Work};
use crate::target::{Target, TargetArgs, is_served};

/// Where the customers of a data folder are read.
pub(super) async fn customers_of(data: &Path) -> Result<Source> {
    if is_served(data) {
        let target = TargetArgs { data: data.to_owned(), aws: false };
        return Ok(Source::Tables(Target::open(&target).await?.store));
    }
    if !database_file(data).exists() {
        let folder = data.display();
        let said = match data.is_file() {
            true => format!("{folder} is no folder of data: put the file before `--data`"),
            false => format!("there is no data in {folder}: `lifecycle import` brings some"),
        };
        bail!(said);
    }
    Ok(Source::Local(data.to_owned()))
}

/// Asks every customer. Call it where blocking is allowed.
pub(super) fn ask_all(
    customers: &Customers,
    survey: &mut Survey,
    lifecycle: &Lifecycle,
    now: Timestamp,
) -> Result<()> {
    let families = families(customers, lifecycle)?;
    customers.each(&mut |work| {
        if !families.has(&work.key) {
            ask(survey, work, &Below::default(), lifecycle, now);
        }
        Ok(())
    })?;
    for keys in families.into_groups() {
        let members = customers.of(&keys)?;
        let mut family = Family::new(lifecycle, std::slice::from_ref(&now));
        for Work { key, log, .. } in &members {
            let log = in_order(log.clone().unpack(&mut 0));
            family.add(key, &log, CustomerKey::subject);
        }
        for work in members {
            let below = family.below(&work.key);
            ask(survey, work, &below, lifecycle, now);
        }
    }
    Ok(())
}

/// Who has to be asked together; nobody where nothing rolls up.
fn families(customers: &Customers, lifecycle: &Lifecycle) -> Result<Families> {
    let mut links = Vec::new();
    if lifecycle.parent.is_some() {
        customers.each(&mut |Work { key, log, .. }| {
            let above = parents([lifecycle], &log.unpack(&mut 0));
            if !above.is_empty() {
                links.push((key, above));
            }
            Ok(())
        })?;
    }
    Ok(Families::of(links))
}

fn ask(survey: &mut Survey, work: Work, below: &Below, lifecycle: &Lifecycle, now: Timestamp) {
    let log = in_order(work.log.unpack(&mut 0));
    if log.is_empty() {
        return;
    }
    let profile = profile_at(lifecycle, &log, now);
    let status = work.status.unwrap_or_default();
    let customer = Customer { profile, status, below: below.at(0) };
    survey.look_at(work.key.id(), &Facts::new(&customer, lifecycle, now));
}
