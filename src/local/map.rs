//! The dependency map: what spans (or ready-made service graphs) show, joined with what the preset declares.

mod edges;
mod nodes;
mod traffic;

use super::context::Context;
use super::lens::Lens;
use edges::Edges;
use nodes::Nodes;
use watchfire_model::reading::{Map, Queue, ReadError, ServiceRow};

/// What a map is drawn from.
#[derive(Clone, Copy)]
struct Scene<'a> {
    lens: &'a Lens<'a>,
    context: &'a Context<'a>,
    services: &'a [ServiceRow],
}

/// The `map` reading.
///
/// # Errors
/// When the store cannot be queried.
pub fn map(lens: &Lens<'_>, context: &Context<'_>, services: &[ServiceRow], queues: &[Queue]) -> Result<Map, ReadError> {
    let scene = Scene { lens, context, services };
    let edges = Edges::collect(scene)?;
    let nodes = Nodes::collect(scene, &edges, queues)?;
    Ok(Map { nodes, edges: edges.into_edges() })
}

#[cfg(test)]
mod tests;
