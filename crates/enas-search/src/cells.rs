//! Ready cells, which can be trained without a search: a starting point for any images, and a baseline for a search.

use enas_arc::Arc;

/// An architecture that is ready to be trained.
#[derive(Clone, Debug, PartialEq)]
pub struct ReadyCell {
    /// The name on the command line.
    pub name: &'static str,
    /// What it is and where it comes from, in one line.
    pub about: &'static str,
    /// The architecture.
    pub arc: Arc,
}

/// The cell that is trained by default.
pub const DEFAULT_CELL: &str = "wide";

/// The default cell for few images.
pub(crate) const LIGHT_CELL: &str = "wide-light";

/// Name, description, normal cell and reduction cell. Every node is `input operation input operation`.
const CELLS: [(&str, &str, &str); 3] = [
    (
        "wide",
        "five nodes in parallel, mostly separable convolutions; designed by hand for this program",
        "1 0 0 0 1 1 0 0 1 0 1 4 0 0 1 2 1 1 0 4 \
         1 0 0 0 1 1 0 1 1 3 0 0 1 0 1 2 0 0 1 3",
    ),
    (
        "wide-light",
        "three nodes in parallel, for small images and slow machines; designed by hand for this program",
        "1 0 0 0 1 0 1 4 0 0 1 3 \
         1 0 0 0 1 3 0 0 1 0 1 2",
    ),
    (
        "enas-cifar10",
        "the micro cell that the ENAS authors found on CIFAR-10 (Pham et al., 2018; cifar10_micro_final.sh)",
        "0 2 0 0 0 4 0 1 0 4 1 1 1 0 0 1 0 2 1 1 \
         1 0 1 0 0 3 0 2 1 1 3 1 1 0 0 4 0 3 1 1",
    ),
];

/// The cells that can be trained without a search.
pub fn ready_cells() -> Vec<ReadyCell> {
    let read = |&(name, about, arc): &(&'static str, &'static str, &str)| ReadyCell {
        name,
        about,
        arc: arc.parse().expect("the embedded cells are valid; a test parses them"),
    };
    CELLS.iter().map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use enas_run::config::presets::published_arcs;

    #[test]
    fn cells_parse_and_have_names_of_their_own() {
        let cells = ready_cells();
        assert!(cells.iter().any(|cell| cell.name == DEFAULT_CELL));
        let names: std::collections::BTreeSet<&str> = cells.iter().map(|cell| cell.name).collect();
        assert_eq!(names.len(), cells.len());
    }

    #[test]
    fn wide_cells_read_nothing_but_the_inputs_and_mostly_convolve() {
        for cell in ready_cells().into_iter().filter(|cell| cell.name.starts_with("wide")) {
            for of_arc in [cell.arc.normal(), cell.arc.reduction()] {
                let branches: Vec<_> = of_arc.nodes().iter().flat_map(|node| [node.x, node.y]).collect();
                assert!(branches.iter().all(|branch| branch.input < 2), "{}", cell.name);
                let convolutions = branches.iter().filter(|branch| branch.op.id() < 2).count();
                assert!(2 * convolutions > branches.len(), "{}", cell.name);
            }
        }
    }

    #[test]
    fn the_published_cell_is_the_published_one() {
        let published = published_arcs().into_iter().find(|arc| arc.name == "enas-authors-cifar10").unwrap();
        let cell = ready_cells().into_iter().find(|cell| cell.name == "enas-cifar10").unwrap();
        assert_eq!(cell.arc, published.arc);
    }
}
