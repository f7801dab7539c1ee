//! Search spaces, strategies and oracles: three independent parts of a neural architecture search.
//!
//! A [`Space`] is a set of architectures, each made by a fixed number of decisions. A [`Strategy`] proposes
//! architectures and observes their scores. [`Uniform`] and [`Wide`] are controls that do not learn, [`Evolution`] is
//! regularised evolution, and [`Reinforce`] trains the LSTM policy of ENAS. An [`Oracle`] provides scores.
//! [`search()`] is the loop: propose, score, observe.
//!
//! A [`Table`] is a tabular benchmark: an oracle that looks scores up. A strategy can be tested with it in
//! milliseconds, by the [percentile](Table::percentile) and the [regret](Table::regret) of its result. An
//! architecture without a row is not in the space, so strategies never propose it.
//!
//! ```
//! use enas_strategy::{Budget, Reinforce, ReinforceSettings, Seed, Table, TableSpace, search};
//!
//! // Three decisions with three choices each; the third decision does nothing.
//! let rows = (0..27).map(|i| (i / 9, i / 3 % 3, i % 3));
//! let lines = rows.map(|(a, b, c)| format!("{a},{b},{c},{},{}\n", 3 * a + b, 3 * a + b));
//! let table = Table::from_csv(format!("a,b,c,valid,test\n{}", lines.collect::<String>()).as_bytes())?;
//!
//! let space = TableSpace(&table);
//! let mut strategy = Reinforce::new(space, &ReinforceSettings::default(), Seed::new(1))?;
//! let Ok(outcome) = search(&space, &mut strategy, &mut &table, Budget::new(27), Seed::new(1));
//! let (picked, _) = outcome.best.expect("there were rewards");
//! assert_eq!(table.regret(picked), 0.0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

mod error;
mod evolution;
mod limits;
mod macro_space;
mod oracle;
mod read;
mod reinforce;
mod search;
mod space;
mod strategy;
mod summary;
mod table;

pub use error::{RowLocation, TableError};
pub use evolution::{Evolution, EvolutionSettings};
pub use macro_space::MacroSpace;
pub use oracle::{DecayingBias, Oracle};
pub use reinforce::{Reinforce, ReinforceSettings};
pub use search::{Budget, Outcome, search};
pub use space::{MicroSpace, Space};
pub use strategy::{PartlyUniform, Strategy, Uniform, UniformAmong, Wide};
pub use summary::TableSummary;
pub use table::{Table, TableEntry, TableRow, TableSpace};

/// Types of lower crates that occur in this crate's interface.
pub use enas_rng::{Seed, Stream};

/// Compiles and runs the example of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadMe;
