//! All weights of a network in one place: values, momentum and names.
//!
//! A [`Table`] is a named tensor as the published code has it. Shared weights are tables with one row per possible
//! input; every row is addressed by its own [`ParamId`], so that only the rows of the sampled edges get a gradient.

use std::ops::Range;

use enas_kernels::{Nesterov, profile};
use enas_rng::Seed;
use rayon::prelude::*;

use crate::{Error, Named};

/// One row of a table: the unit of reading weights and of gradients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ParamId(usize);

/// How a table starts.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Init {
    /// Truncated normal numbers of variance `2/fan_in`, redrawn outside two deviations (He et al., 2015).
    He { fan_in: usize },
    /// One number everywhere.
    Constant(f32),
}

#[derive(Clone, Debug)]
struct Table {
    name: String,
    shape: Vec<usize>,
    range: Range<usize>,
    trained: bool,
}

/// The weights of a network.
#[derive(Clone, Debug)]
pub(crate) struct Params {
    seed: Seed,
    /// How many numbers there are, or would be.
    len: usize,
    /// Whether there are numbers, or only their places.
    is_real: bool,
    values: Vec<f32>,
    momentum: Vec<f32>,
    /// Moving averages of the values; empty if none are kept.
    averages: Vec<f32>,
    tables: Vec<Table>,
    rows: Vec<(Range<usize>, bool)>,
}

impl Params {
    /// No weights yet; there will be `capacity` numbers.
    pub(crate) fn new(seed: Seed, capacity: usize) -> Self {
        let (values, momentum) = (Vec::with_capacity(capacity), Vec::with_capacity(capacity));
        let (averages, tables, rows) = (Vec::new(), Vec::new(), Vec::new());
        Self { seed, len: 0, is_real: true, values, momentum, averages, tables, rows }
    }

    /// For names, shapes and places alone: there will be no numbers, and nobody may ask for any.
    pub(crate) fn places() -> Self {
        Self { is_real: false, ..Self::new(Seed::new(0), 0) }
    }

    /// How many numbers there are, or would be.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Whether there are numbers, or only their places.
    pub(crate) fn is_real(&self) -> bool {
        self.is_real
    }

    /// Adds a tensor; its start depends on the seed and the name alone.
    pub(crate) fn tensor(&mut self, name: String, shape: &[usize], init: Init, trained: bool) -> ParamId {
        self.table(name, shape, 1, init, trained)[0]
    }

    /// Adds a tensor whose first axis has `rows` independently addressed entries.
    pub(crate) fn table(
        &mut self,
        name: String,
        shape: &[usize],
        rows: usize,
        init: Init,
        trained: bool,
    ) -> Vec<ParamId> {
        let len: usize = shape.iter().product();
        let start = self.len;
        self.len += len;
        if self.is_real {
            self.fill(&name, len, init);
        }
        self.tables.push(Table { name, shape: shape.to_vec(), range: start..start + len, trained });
        let row = len / rows;
        (0..rows)
            .map(|r| {
                self.rows.push((start + r * row..start + (r + 1) * row, trained));
                ParamId(self.rows.len() - 1)
            })
            .collect()
    }

    /// Appends the numbers that a tensor starts with.
    fn fill(&mut self, name: &str, len: usize, init: Init) {
        let end = self.values.len() + len;
        match init {
            Init::Constant(value) => self.values.resize(end, value),
            Init::He { fan_in } => {
                let mut stream = self.seed.stream(&format!("init {name}"), &[]);
                let sigma = (2.0 / fan_in as f32).sqrt();
                self.values.extend((0..len).map(|_| stream.truncated_normal(sigma)));
            }
        }
        self.momentum.resize(end, 0.0);
    }

    /// The values of one row.
    pub(crate) fn get(&self, id: ParamId) -> &[f32] {
        &self.values[self.rows[id.0].0.clone()]
    }

    /// The values of one row, for writing.
    pub(crate) fn get_mut(&mut self, id: ParamId) -> &mut [f32] {
        &mut self.values[self.rows[id.0].0.clone()]
    }

    /// The name of the table that a row belongs to.
    pub(crate) fn name(&self, id: ParamId) -> &str {
        let start = self.rows[id.0].0.start;
        let table = self.tables.iter().find(|table| table.range.contains(&start));
        &table.expect("every row is a part of a table").name
    }

    /// Where the values of one row are among all of them.
    pub(crate) fn range(&self, id: ParamId) -> Range<usize> {
        self.rows[id.0].0.clone()
    }

    /// The runs of trained weights, `(first, length)`.
    pub(crate) fn trained_runs(&self) -> Vec<(usize, usize)> {
        let mut runs: Vec<(usize, usize)> = Vec::new();
        for table in self.tables.iter().filter(|t| t.trained) {
            let Range { start, end } = table.range;
            match runs.last_mut() {
                Some((first, len)) if *first + *len == start => *len += end - start,
                _ => runs.push((start, end - start)),
            }
        }
        runs
    }

    /// All values and their momentum, row after row.
    pub(crate) fn flat(&self) -> (&[f32], &[f32]) {
        (&self.values, &self.momentum)
    }

    /// The same weights with other numbers.
    pub(crate) fn with_flat(&self, values: Vec<f32>, momentum: Vec<f32>, averages: Vec<f32>) -> Self {
        let (seed, len, is_real) = (self.seed, self.len, self.is_real);
        let (tables, rows) = (self.tables.clone(), self.rows.clone());
        Self { seed, len, is_real, values, momentum, averages, tables, rows }
    }

    /// The moving averages of all values, row after row; empty if none are kept.
    pub(crate) fn averages(&self) -> &[f32] {
        &self.averages
    }

    /// Keeps moving averages that start with the present values.
    pub(crate) fn start_averages(&mut self) {
        self.averages.clone_from(&self.values);
    }

    /// Moves every average towards its value by this share of the way.
    pub(crate) fn move_averages(&mut self, share: f32) {
        let chunks = self.averages.par_chunks_mut(AVERAGED).zip(self.values.par_chunks(AVERAGED));
        chunks.for_each(|(averages, values)| {
            averages.iter_mut().zip(values).for_each(|(a, v)| *a += share * (v - *a));
        });
    }

    /// Takes the averages for values.
    pub(crate) fn use_averages(&mut self) {
        self.values.copy_from_slice(&self.averages);
    }

    /// The seed that the weights start from.
    pub(crate) fn seed(&self) -> Seed {
        self.seed
    }

    /// Whether the optimiser updates the row.
    pub(crate) fn is_trained(&self, id: ParamId) -> bool {
        self.rows[id.0].1
    }

    /// Number of trained or untrained weights.
    pub(crate) fn count(&self, filter: impl Fn(&str) -> bool) -> usize {
        self.tables.iter().filter(|t| filter(&t.name)).map(|t| t.range.len()).sum()
    }

    /// `Σ w²` over the trained weights.
    pub(crate) fn squares(&self) -> f64 {
        let trained = self.tables.iter().filter(|t| t.trained);
        trained.flat_map(|t| &self.values[t.range.clone()]).map(|w| f64::from(*w).powi(2)).sum()
    }

    /// The name of the first tensor with a number that is not finite.
    pub(crate) fn first_not_finite(&self) -> Option<&str> {
        let found = self.tables.iter().find(|t| !is_finite(&self.values[t.range.clone()]));
        found.map(|table| table.name.as_str())
    }

    /// One optimiser update of every trained weight, visited or not. Returns the norm of the whole gradient,
    /// penalty included.
    pub(crate) fn step(&mut self, rule: Nesterov, clip_norm: f32, gradients: &Gradients) -> f32 {
        let start = profile::start();
        let len = self.values.len() as f64;
        let jobs = self.jobs(gradients);
        let mut rule = rule;
        if clip_norm > 0.0 {
            let squares: Vec<f64> =
                jobs.par_iter().map(|job| rule.norm_squared(job.values, job.gradient)).collect();
            let norm = squares.iter().sum::<f64>().sqrt() as f32;
            rule.scale = clip_norm / norm.max(clip_norm);
        }
        let squares: Vec<f64> =
            jobs.into_par_iter().map(|job| rule.step(job.values, job.momentum, job.gradient)).collect();
        profile::stop(start, ("optimiser", "step"), 7.0 * len, 16.0 * len);
        squares.iter().sum::<f64>().sqrt() as f32
    }

    fn jobs<'a>(&'a mut self, gradients: &'a Gradients) -> Vec<Job<'a>> {
        let (mut values, mut momentum) = (self.values.as_mut_slice(), self.momentum.as_mut_slice());
        let mut jobs = Vec::with_capacity(self.rows.len());
        for ((range, trained), gradient) in self.rows.iter().zip(&gradients.rows) {
            // Rows follow each other without gaps, in the order they were added.
            let (v, rest) = std::mem::take(&mut values).split_at_mut(range.len());
            values = rest;
            let (m, rest) = std::mem::take(&mut momentum).split_at_mut(range.len());
            momentum = rest;
            if *trained {
                jobs.push(Job { values: v, momentum: m, gradient: gradient.as_deref() });
            }
        }
        jobs
    }

    /// Empty gradients for these weights.
    pub(crate) fn gradients(&self) -> Gradients {
        Gradients { rows: vec![None; self.rows.len()] }
    }

    /// The weights as named tensors.
    pub(crate) fn export(&self) -> Vec<Named> {
        self.tables.iter().map(|t| t.named(&t.name, &self.values)).collect()
    }

    /// The optimiser's state as named tensors: `momentum/<name>`.
    pub(crate) fn export_momentum(&self) -> Vec<Named> {
        let trained = self.tables.iter().filter(|t| t.trained);
        trained.map(|t| t.named(&format!("{MOMENTUM}{}", t.name), &self.momentum)).collect()
    }

    /// The moving averages as named tensors: `average/<name>`.
    pub(crate) fn export_averages(&self) -> Vec<Named> {
        let tables = self.tables.iter().filter(|_| !self.averages.is_empty());
        tables.map(|t| t.named(&format!("{AVERAGE}{}", t.name), &self.averages)).collect()
    }

    /// The gradient of the loss with its L2 penalty `λ·Σ w²`, for every trained tensor.
    pub(crate) fn export_gradients(&self, gradients: &Gradients, l2: f32) -> Vec<Named> {
        let mut flat: Vec<f32> = self.values.iter().map(|w| 2.0 * l2 * w).collect();
        for ((range, _), gradient) in self.rows.iter().zip(&gradients.rows) {
            if let Some(gradient) = gradient {
                flat[range.clone()].iter_mut().zip(gradient).for_each(|(f, g)| *f += g);
            }
        }
        self.tables.iter().filter(|t| t.trained).map(|t| t.named(&t.name, &flat)).collect()
    }

    /// Takes over a tensor by name, weights, momentum or averages. Returns whether the name is one of ours.
    pub(crate) fn import(&mut self, tensor: &Named) -> Result<bool, Error> {
        let of = |prefix: &str| tensor.name.strip_prefix(prefix);
        let (name, target) = match (of(MOMENTUM), of(AVERAGE)) {
            (Some(name), _) => (name, &mut self.momentum),
            (_, Some(_)) if self.averages.is_empty() => return Ok(false),
            (_, Some(name)) => (name, &mut self.averages),
            _ => (tensor.name.as_str(), &mut self.values),
        };
        let Some(table) = self.tables.iter().find(|t| t.name == name) else { return Ok(false) };
        if table.shape != tensor.shape || tensor.data.len() != table.range.len() {
            let (name, got, want) = (&tensor.name, &tensor.shape, &table.shape);
            return Err(Error::State(format!("{name} has shape {got:?}, the network needs {want:?}")));
        }
        target[table.range.clone()].copy_from_slice(&tensor.data);
        Ok(true)
    }

    /// Takes over a weight if there is one of its name and shape; returns whether there is.
    pub(crate) fn adopt(&mut self, tensor: &Named) -> bool {
        let fits = |table: &&Table| table.name == tensor.name && table.shape == tensor.shape;
        let Some(table) = self.tables.iter().find(fits) else { return false };
        let fits = table.range.len() == tensor.data.len();
        if fits {
            self.values[table.range.clone()].copy_from_slice(&tensor.data);
        }
        fits
    }

    /// The names of all tensors.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.tables.iter().map(|t| t.name.as_str())
    }
}

const MOMENTUM: &str = "momentum/";
pub(crate) const AVERAGE: &str = "average/";

/// Averages that a thread treats at once.
const AVERAGED: usize = 1 << 14;

struct Job<'a> {
    values: &'a mut [f32],
    momentum: &'a mut [f32],
    gradient: Option<&'a [f32]>,
}

impl Table {
    fn named(&self, name: &str, flat: &[f32]) -> Named {
        Named { name: name.to_owned(), shape: self.shape.clone(), data: flat[self.range.clone()].to_vec() }
    }
}

/// The gradients of one pass; rows that were not visited have none.
#[derive(Clone, Debug)]
pub(crate) struct Gradients {
    rows: Vec<Option<Vec<f32>>>,
}

impl Gradients {
    /// From the gradients of all weights, row after row.
    pub(crate) fn of_flat(params: &Params, flat: &[f32]) -> Self {
        let row = |(range, trained): &(Range<usize>, bool)| trained.then(|| flat[range.clone()].to_vec());
        Self { rows: params.rows.iter().map(row).collect() }
    }

    /// Whether every gradient is finite.
    pub(crate) fn is_finite(&self) -> bool {
        self.rows.par_iter().flatten().all(|row| is_finite(row))
    }

    /// Whether the gradient of one row is finite, if there is one.
    pub(crate) fn is_finite_at(&self, id: ParamId) -> bool {
        self.rows[id.0].as_deref().is_none_or(is_finite)
    }

    /// Adds to the gradient of one row.
    pub(crate) fn add(&mut self, id: ParamId, gradient: Vec<f32>) {
        match &mut self.rows[id.0] {
            Some(total) => total.iter_mut().zip(gradient).for_each(|(t, g)| *t += g),
            empty => *empty = Some(gradient),
        }
    }
}

/// Whether all numbers are finite. Looks at all of them whatever it finds, which compiles to vector instructions.
pub(crate) fn is_finite(values: &[f32]) -> bool {
    const EXPONENT: u32 = 0x7f80_0000;
    !values.iter().fold(false, |found, x| found | (x.to_bits() & EXPONENT == EXPONENT))
}
