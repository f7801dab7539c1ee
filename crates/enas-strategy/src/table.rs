//! Tables of trained architectures (tabular benchmarks), with which a strategy can be tested in seconds.

use std::collections::BTreeMap;
use std::convert::Infallible;

use enas_arc::Arc;
use enas_controller::Plan;
use enas_rng::Stream;

use crate::error::{RowLocation, TableError};
use crate::limits;
use crate::oracle::Oracle;
use crate::space::Space;

/// A tabular benchmark: architectures as small integers, one per decision, each with a validation and a test value.
///
/// Columns may hold any integers; the choices of a decision are the different values of its column in ascending
/// order. A table need not have a row for every combination. Missing combinations are not architectures of its
/// [`TableSpace`].
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    names: Vec<String>,
    /// The different values of each column, ascending.
    values: Vec<Vec<i64>>,
    /// Indices into `values`, `[rows, columns]`; rows in ascending order.
    choices: Vec<u16>,
    valid: Vec<f64>,
    test: Vec<f64>,
    /// Test values in ascending order.
    sorted_test: Vec<f64>,
    plan: Plan,
}

/// An architecture of a table: the index of its row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TableRow(u32);

impl TableRow {
    /// The index among the table's rows.
    pub fn position(self) -> usize {
        self.0 as usize
    }
}

/// One row as it is read: its location, its decisions and its two values.
#[derive(Clone, Debug, PartialEq)]
pub struct TableEntry {
    /// Its location, for messages.
    pub location: RowLocation,
    /// One integer per column.
    pub decisions: Vec<i64>,
    /// The value that a search sees.
    pub valid: f64,
    /// The value by which a search is judged.
    pub test: f64,
}

impl Table {
    /// Largest number of rows.
    pub const MOST_ROWS: usize = limits::MOST_ROWS;
    /// Largest number of columns of decisions.
    pub const MOST_COLUMNS: usize = limits::MOST_COLUMNS;
    /// Largest number of different values of all columns together.
    pub const MOST_VALUES: usize = limits::MOST_VALUES;

    /// A table of these rows, in any order.
    ///
    /// # Errors
    /// - There is no column or no row, or the table exceeds a limit.
    /// - A row has the wrong number of decisions or a value that is not finite.
    /// - Two rows have the same decisions.
    pub fn new(
        names: Vec<String>,
        entries: impl IntoIterator<Item = TableEntry>,
    ) -> Result<Self, TableError> {
        let mut rows = TableBuilder::new(names)?;
        entries.into_iter().try_for_each(|entry| rows.push(&entry))?;
        rows.finish()
    }

    /// The names of the columns of decisions.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Number of rows.
    pub fn n_rows(&self) -> usize {
        self.valid.len()
    }

    /// The rows.
    pub fn rows(&self) -> impl Iterator<Item = TableRow> + use<> {
        (0..self.valid.len() as u32).map(TableRow)
    }

    /// The row with these decisions, given as integers of the table.
    pub fn find(&self, decisions: &[i64]) -> Option<TableRow> {
        if decisions.len() != self.names.len() {
            return None;
        }
        let choice = |(value, values): (&i64, &Vec<i64>)| values.binary_search(value).ok();
        let choices: Vec<usize> = decisions.iter().zip(&self.values).map(choice).collect::<Option<_>>()?;
        self.row_of(&choices)
    }

    /// The integers of a row.
    pub fn decisions(&self, row: TableRow) -> Vec<i64> {
        self.choices_of(row)
            .iter()
            .zip(&self.values)
            .map(|(&choice, values)| values[usize::from(choice)])
            .collect()
    }

    /// The value of a row that a search sees.
    pub fn valid(&self, row: TableRow) -> f64 {
        self.valid[row.position()]
    }

    /// The value of a row by which a search is judged.
    pub fn test(&self, row: TableRow) -> f64 {
        self.test[row.position()]
    }

    /// The best test value of all rows.
    pub fn best_test(&self) -> f64 {
        *self.sorted_test.last().expect("a table has rows")
    }

    /// The mean test value of all rows: the expectation of a uniform draw.
    pub fn mean_test(&self) -> f64 {
        self.test.iter().sum::<f64>() / self.test.len() as f64
    }

    /// The share of the other rows, in percent, whose test value is below that of `row`; equal ones count half. The
    /// best row has 100, the worst 0; uniformly drawn rows have 50 on average.
    pub fn percentile(&self, row: TableRow) -> f64 {
        let test = self.test(row);
        let below = self.sorted_test.partition_point(|&other| other < test);
        let equal = self.sorted_test.partition_point(|&other| other <= test) - below - 1;
        match self.n_rows() - 1 {
            0 => 100.0,
            others => 100.0 * (below as f64 + 0.5 * equal as f64) / others as f64,
        }
    }

    /// The best test value minus that of the row.
    pub fn regret(&self, row: TableRow) -> f64 {
        self.best_test() - self.test(row)
    }

    /// The rows that are wide arcs ([`Arc::is_wide`]). `None` unless all rows are arcs of the ENAS micro search: 8
    /// columns per node, in the order of an arc's integers.
    pub fn wide_rows(&self) -> Option<Vec<TableRow>> {
        let arcs =
            self.rows().map(|row| Arc::from_ints(&self.decisions(row)).ok().map(|arc| (row, arc.is_wide())));
        let arcs: Vec<(TableRow, bool)> = arcs.collect::<Option<_>>()?;
        Some(arcs.into_iter().filter_map(|(row, wide)| wide.then_some(row)).collect())
    }

    fn choices_of(&self, row: TableRow) -> &[u16] {
        &self.choices[row.position() * self.names.len()..][..self.names.len()]
    }

    fn row_of(&self, choices: &[usize]) -> Option<TableRow> {
        let mut low = 0;
        let mut high = self.valid.len() as u32;
        while low < high {
            let middle = low + (high - low) / 2;
            match self
                .choices_of(TableRow(middle))
                .iter()
                .map(|&c| usize::from(c))
                .cmp(choices.iter().copied())
            {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Equal => return Some(TableRow(middle)),
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        None
    }
}

/// The architectures of a table: one decision per column.
#[derive(Clone, Copy, Debug)]
pub struct TableSpace<'a>(pub &'a Table);

impl Space for TableSpace<'_> {
    type Arch = TableRow;

    fn plan(&self) -> &Plan {
        &self.0.plan
    }

    fn encode(&self, arch: &TableRow) -> Vec<usize> {
        self.0.choices_of(*arch).iter().map(|&choice| usize::from(choice)).collect()
    }

    fn decode(&self, choices: &[usize]) -> Option<TableRow> {
        self.0.row_of(choices)
    }

    fn random(&self, stream: &mut Stream) -> TableRow {
        TableRow(stream.below(self.0.n_rows()) as u32)
    }

    /// A uniformly drawn row among those that differ in one column; if there is none, any row.
    fn mutated(&self, arch: &TableRow, stream: &mut Stream) -> TableRow {
        let mut choices = self.encode(arch);
        let mut neighbours = vec![];
        for (column, values) in self.0.values.iter().enumerate() {
            let own = choices[column];
            for other in (0..values.len()).filter(|&other| other != own) {
                choices[column] = other;
                neighbours.extend(self.0.row_of(&choices));
            }
            choices[column] = own;
        }
        if neighbours.is_empty() { self.random(stream) } else { neighbours[stream.below(neighbours.len())] }
    }
}

/// Scores are the table's validation values.
impl<'a> Oracle<TableSpace<'a>> for &'a Table {
    type Error = Infallible;

    fn score(&mut self, archs: &[TableRow]) -> Result<Vec<f64>, Infallible> {
        Ok(archs.iter().map(|&row| self.valid(row)).collect())
    }
}

/// A table while it is read: 2 bytes per decision and 24 bytes per row.
#[derive(Debug)]
pub(crate) struct TableBuilder {
    names: Vec<String>,
    /// For each column, its values in the order of their first appearance.
    values: Vec<BTreeMap<i64, u16>>,
    choices: Vec<u16>,
    locations: Vec<RowLocation>,
    valid: Vec<f64>,
    test: Vec<f64>,
}

impl TableBuilder {
    pub(crate) fn new(names: Vec<String>) -> Result<Self, TableError> {
        if names.is_empty() {
            return Err(TableError::NoDecisions);
        }
        if names.len() > Table::MOST_COLUMNS {
            return Err(TableError::Columns { n: names.len() });
        }
        let values = vec![BTreeMap::new(); names.len()];
        Ok(Self { names, values, choices: vec![], locations: vec![], valid: vec![], test: vec![] })
    }

    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    pub(crate) fn push(&mut self, entry: &TableEntry) -> Result<(), TableError> {
        let location = entry.location;
        if entry.decisions.len() != self.names.len() {
            let expected = self.names.len();
            let got = entry.decisions.len();
            return Err(TableError::Decisions { location, expected, got });
        }
        for (name, value) in [("valid", entry.valid), ("test", entry.test)] {
            if !value.is_finite() {
                return Err(TableError::NotFinite { location, name, value });
            }
        }
        if self.valid.len() == Table::MOST_ROWS {
            return Err(TableError::Rows);
        }
        for (&value, values) in entry.decisions.iter().zip(&mut self.values) {
            // At most MOST_VALUES + 1 values are ever kept, so the index fits into 16 bits.
            let next = values.len() as u16;
            self.choices.push(*values.entry(value).or_insert(next));
        }
        let n: usize = self.values.iter().map(BTreeMap::len).sum();
        if n > Table::MOST_VALUES {
            let most = self.values.iter().zip(&self.names).max_by_key(|(values, _)| values.len());
            let (values, name) = most.expect("a table has columns");
            return Err(TableError::Values { location, name: name.clone(), n: values.len() });
        }
        self.locations.push(location);
        self.valid.push(entry.valid);
        self.test.push(entry.test);
        Ok(())
    }

    pub(crate) fn finish(mut self) -> Result<Table, TableError> {
        if self.valid.is_empty() {
            return Err(TableError::Empty);
        }
        self.rank_values();
        let columns = self.names.len();
        let row = |i: usize| &self.choices[i * columns..][..columns];
        let mut order: Vec<usize> = (0..self.valid.len()).collect();
        order.sort_by(|&a, &b| row(a).cmp(row(b)).then(a.cmp(&b)));
        if let Some(twice) = order.windows(2).find(|pair| row(pair[0]) == row(pair[1])) {
            return Err(TableError::Twice {
                location: self.locations[twice[1]],
                first: self.locations[twice[0]],
            });
        }
        let choices = order.iter().flat_map(|&i| row(i)).copied().collect();
        let test: Vec<f64> = order.iter().map(|&i| self.test[i]).collect();
        let mut sorted_test = test.clone();
        sorted_test.sort_by(f64::total_cmp);
        let values: Vec<Vec<i64>> =
            self.values.iter().map(|values| values.keys().copied().collect()).collect();
        let n_choices: Vec<usize> = values.iter().map(Vec::len).collect();
        Ok(Table {
            valid: order.iter().map(|&i| self.valid[i]).collect(),
            plan: Plan::of_choices(&n_choices).expect("every column has a value, and all together are few"),
            names: self.names,
            values,
            choices,
            test,
            sorted_test,
        })
    }

    /// Replaces indices by first appearance with indices in ascending order of the values.
    fn rank_values(&mut self) {
        for (column, values) in self.values.iter().enumerate() {
            let mut ranks = vec![0; values.len()];
            for (rank, &appearance) in values.values().enumerate() {
                ranks[usize::from(appearance)] = rank as u16;
            }
            for choice in self.choices.iter_mut().skip(column).step_by(self.names.len()) {
                *choice = ranks[usize::from(*choice)];
            }
        }
    }
}
