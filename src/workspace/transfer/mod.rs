//! Taking in whole runs: those of other tools, and those of another workspace.
//!
//! [`import`] takes in runs (`imported_metadata` compares their metadata, `gained` their points), [`adopt`] experiments
//! of other stores, [`pull`] what another workspace has, with its [`deletions`].
//!
//! What is logged elsewhere also comes a parcel at a time, as often as needed: [`ship`] makes parcels of what is new in
//! a workspace, and [`receive`] takes them. Each writer's points and metadata go to a relayed log of their own, under
//! the writer's name and numbers. The receiver alone knows the [`position`]: how many points of each metric it has of a
//! writer. So a parcel counts once, whoever sends it, how often, and after whatever crash.

pub mod adopt;
pub mod deletions;
pub mod gained;
pub mod import;
pub mod imported_metadata;
pub mod position;
pub mod pull;
pub mod receive;
pub mod ship;
