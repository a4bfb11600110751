//! Walks along the edges of the graph.

use std::collections::VecDeque;

use super::{At, Model};
use crate::build::plan::table::Table;

/// For each node those that take its tree: the edges the other way round.
#[derive(Debug)]
pub(super) struct Users {
    /// Where the users of each node begin; one more than there are nodes.
    begins: Vec<u32>,
    users: Vec<u32>,
}

impl Users {
    pub(super) fn of(table: &Table) -> Self {
        let mut begins = vec![0_u32; table.len() + 1];
        for at in 0..table.len() {
            for input in table.inputs(at) {
                begins[input + 1] += 1;
            }
        }
        for at in 0..table.len() {
            begins[at + 1] += begins[at];
        }
        let mut next = begins.clone();
        let mut users = vec![0; begins[table.len()] as usize];
        for at in 0..table.len() {
            for input in table.inputs(at) {
                users[next[input] as usize] = at as u32;
                next[input] += 1;
            }
        }
        Self { begins, users }
    }

    fn of_node(&self, at: At) -> &[u32] {
        &self.users[self.begins[at] as usize..self.begins[at + 1] as usize]
    }
}

/// Which way edges are followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// To what a node needs.
    Inputs,
    /// To what needs it.
    Users,
}

impl Model<'_> {
    /// The nodes one edge away.
    pub fn next(&self, at: At, way: Way) -> Vec<At> {
        match way {
            Way::Inputs => self.table().inputs(at).collect(),
            Way::Users => self.users().of_node(at).iter().map(|user| *user as usize).collect(),
        }
    }

    /// All nodes that are at most so many edges away from these, with the number of edges, in the
    /// plan's order; these are among them, 0 edges away.
    pub fn reach(&self, from: &[At], way: Way, depth: Option<usize>) -> Vec<(At, usize)> {
        let mut distance = vec![None; self.table().len()];
        let mut open = VecDeque::new();
        for at in from {
            if distance[*at].replace(0).is_none() {
                open.push_back(*at);
            }
        }
        while let Some(at) = open.pop_front() {
            let next = distance[at].unwrap_or(0) + 1;
            if depth.is_some_and(|depth| next > depth) {
                continue;
            }
            for other in self.next(at, way) {
                if distance[other].is_none() {
                    distance[other] = Some(next);
                    open.push_back(other);
                }
            }
        }
        distance.into_iter().enumerate().filter_map(|(at, distance)| Some((at, distance?))).collect()
    }

    /// A shortest way from one of `from` to one of `to`, over inputs; `None` if there is none.
    pub fn path(&self, from: &[At], to: &[At]) -> Option<Vec<At>> {
        let mut is_end = vec![false; self.table().len()];
        to.iter().for_each(|at| is_end[*at] = true);
        let mut came_from = vec![None; self.table().len()];
        let mut open = VecDeque::new();
        for at in from {
            if came_from[*at].replace(*at).is_none() {
                open.push_back(*at);
            }
        }
        while let Some(at) = open.pop_front() {
            if is_end[at] {
                let mut path = vec![at];
                let mut here = at;
                while let Some(before) = came_from[here].filter(|before| *before != here) {
                    path.push(before);
                    here = before;
                }
                path.reverse();
                return Some(path);
            }
            for input in self.table().inputs(at) {
                if came_from[input].is_none() {
                    came_from[input] = Some(at);
                    open.push_back(input);
                }
            }
        }
        None
    }
}
