//! Churn risk: right, calibrated and explained.
//!
//! Two ways to a probability. Without labels, from the rhythm of events alone: [`btyd`] (with
//! [`value`] for what customers spend, and [`renewal`] for contracts). With labels, from a table:
//! [`train`] climbs a ladder from the base rate over [`logistic`] regression to an explainable
//! boosting machine ([`ebm`]), judges each rung on rows it never saw ([`metrics`]), calibrates where
//! that helps ([`calibrate`]), and leaves a [`model`], a small JSON document that a person can read.
//! [`score`] gives a row its probability and exact contributions, [`reason`] puts them into words,
//! [`band`] into bands, and [`drift`] tells when what comes in is no longer like what was learnt.
//!
//! Invariants: pure and deterministic. Nothing here knows the network, storage, the environment or
//! the clock; chance comes from a seed ([`random`]), sums are taken in a fixed order, and
//! transcendental functions are those of `libm`, so that every machine computes the same.

pub mod band;
pub mod btyd;
pub mod calibrate;
pub mod drift;
pub mod ebm;
pub mod feature;
pub mod linear;
pub mod logistic;
pub mod metrics;
pub mod model;
pub mod optimise;
pub mod random;
pub mod reason;
pub mod renewal;
pub mod score;
pub mod special;
pub mod table;
pub mod train;
pub mod value;
