//! The networks of the golden files, from the files' description alone (`goldens/README.md` and the published code).

use enas_arc::{Arc, Branch, Cell, Op};

use super::graph::{Graph, Id};
use super::tensor::{Tensor, Windows};
use crate::set::GoldenSet;

/// What the walk over a network's layers needs to know.
pub(super) struct Network<'a> {
    pub(super) set: &'a GoldenSet,
    filters: usize,
    /// The layers that halve the size.
    pools: Vec<usize>,
    layers: usize,
    three_reductions: bool,
    shared: bool,
}

/// The logits of a training pass.
pub(super) struct Logits {
    pub(super) main: Id,
    pub(super) aux: Option<Id>,
}

impl<'a> Network<'a> {
    pub(super) fn of(set: &'a GoldenSet) -> Self {
        let number = |key: &str| set.meta["config"][key].as_u64().expect("the configuration is complete");
        let layers = number("num_layers") as usize;
        let three_reductions = set.meta["config"]["variant"] == "seed";
        let distance = layers / if three_reductions { 4 } else { 3 };
        let mut pools = vec![distance, 2 * distance + 1];
        pools.extend(three_reductions.then_some(layers));
        let filters = number("out_filters") as usize;
        Self { set, filters, pools, layers, three_reductions, shared: set.is_search() }
    }

    /// Runs the network in training mode.
    pub(super) fn run(&self, graph: &mut Graph<'_>, arc: &Arc, images: Tensor) -> Logits {
        let images = graph.input(images);
        let stem = graph.weight("stem_conv/w".to_owned());
        let stem = graph.conv(images, vec![stem], 3);
        let stem = norm(graph, stem, "stem_conv");
        let mut before = stem;
        let mut last = stem;
        let mut f = self.filters;
        let mut aux = None;
        for layer in 0..self.layers + 2 {
            let scope = format!("layer_{layer}");
            let reduction = self.pools.contains(&layer);
            let cell = if reduction { arc.reduction() } else { arc.normal() };
            f *= if reduction { 2 } else { 1 };
            let out = if self.shared {
                if reduction {
                    (before, last) = (last, halve(graph, last, &scope));
                }
                shared_cell(graph, cell, [before, last], f, &scope)
            } else {
                self.fixed_cell(graph, cell, [before, last], f, layer)
            };
            (before, last) = (last, out);
            if layer == self.pools[1] + 1 && self.set.meta["config"]["use_aux_heads"] == true {
                aux = Some(self.aux_head(graph, out));
            }
        }
        let positive = graph.relu(last);
        let mut features = graph.mean(positive);
        let keep = self.set.meta["config"]["keep_prob"].as_f64().unwrap_or(1.0);
        if keep < 1.0 {
            features = self.drop(graph, features, "dropout", keep);
        }
        let fc = graph.weight("fc/w".to_owned());
        Logits { main: graph.conv(features, vec![fc], 1), aux }
    }

    fn drop(&self, graph: &mut Graph<'_>, x: Id, name: &str, keep: f64) -> Id {
        let uniform = self.set.f32(&format!("in/uniform_{name}"));
        let factors = uniform.iter().map(|u| (keep + f64::from(*u)).floor() / keep).collect();
        graph.scale(x, factors)
    }

    fn fixed_cell(&self, graph: &mut Graph<'_>, cell: &Cell, inputs: [Id; 2], f: usize, layer: usize) -> Id {
        let scope = format!("layer_{layer}");
        let mut states = calibrate(graph, inputs, f, &scope).to_vec();
        states[1] = project(graph, states[1], &format!("{scope}/layer_base"));
        let stride = if self.pools.contains(&layer) { 2 } else { 1 };
        for (n, node) in cell.nodes().iter().enumerate() {
            let [x, y] = [("x_conv", node.x), ("y_conv", node.y)].map(|(side, branch)| {
                let scope = format!("{scope}/cell_{n}/{side}");
                let stride = if branch.input < 2 { stride } else { 1 };
                let out = fixed_edge(graph, states[branch.input], branch.op, stride, &scope);
                match self.keep(layer) {
                    Some(keep) if branch.op != Op::Identity => {
                        self.drop(graph, out, &format!("drop_path/{scope}"), keep)
                    }
                    _ => out,
                }
            });
            states.push(graph.add(x, y, format!("{scope}/cell_{n}")));
        }
        let loose = cell.loose_ends();
        let smallest = loose.iter().map(|i| graph.value(states[*i]).h).min().expect("a cell has loose ends");
        let parts: Vec<Id> = loose
            .iter()
            .map(|i| {
                if graph.value(states[*i]).h > smallest {
                    return halve(graph, states[*i], &format!("{scope}/final_combine/calibrate_{i}"));
                }
                states[*i]
            })
            .collect();
        graph.concat(&parts)
    }

    /// The probability of keeping a path of a layer, where paths are dropped.
    fn keep(&self, layer: usize) -> Option<f64> {
        let config = &self.set.meta["config"];
        let number = |key: &str| config[key].as_f64().expect("the configuration is complete");
        let keep = config["drop_path_keep_prob"].as_f64()?;
        let of_layer = 1.0 - (layer + 1) as f64 / (self.layers + 2) as f64 * (1.0 - keep);
        let done = (number("global_step") + 1.0) / (number("num_epochs") * number("num_train_batches"));
        Some(1.0 - done.min(1.0) * (1.0 - of_layer))
    }

    fn aux_head(&self, graph: &mut Graph<'_>, x: Id) -> Id {
        let positive = graph.relu(x);
        let h = graph.value(positive).h;
        let axis = if self.three_reductions && !(h - 3).is_multiple_of(5) {
            Windows::same(h, 5, 3)
        } else {
            Windows::valid(h, 5, 3)
        };
        let mut x = graph.average_pool(positive, axis, axis);
        for scope in ["aux_head/proj", "aux_head/avg_pool"] {
            let kernel = graph.weight(format!("{scope}/w"));
            let k = if scope.ends_with("proj") { 1 } else { graph.value(x).h };
            let raw = graph.conv(x, vec![kernel], k);
            let normalised = norm(graph, raw, scope);
            x = graph.relu(normalised);
        }
        let mean = graph.mean(x);
        let fc = graph.weight("aux_head/fc/w".to_owned());
        graph.conv(mean, vec![fc], 1)
    }
}

/// `<scope>/bn`.
fn norm(graph: &mut Graph<'_>, x: Id, scope: &str) -> Id {
    let [gamma, beta] = ["scale", "offset"].map(|part| graph.weight(format!("{scope}/bn/{part}")));
    graph.norm(x, gamma, beta)
}

/// ReLU, a 1×1 convolution, batch norm.
fn project(graph: &mut Graph<'_>, x: Id, scope: &str) -> Id {
    let positive = graph.relu(x);
    let kernel = graph.weight(format!("{scope}/w"));
    let raw = graph.conv(positive, vec![kernel], 1);
    norm(graph, raw, scope)
}

/// A factorised reduction: the even and the odd pixels through a 1×1 convolution each, batch norm.
fn halve(graph: &mut Graph<'_>, x: Id, scope: &str) -> Id {
    let parts = [("path1_conv", 0), ("path2_conv", 1)].map(|(path, offset)| {
        let pixels = graph.every_second(x, offset);
        let kernel = graph.weight(format!("{scope}/{path}/w"));
        graph.conv(pixels, vec![kernel], 1)
    });
    let joined = graph.concat(&parts);
    norm(graph, joined, scope)
}

/// Brings both inputs of a cell to the later one's size and to `f` channels.
fn calibrate(graph: &mut Graph<'_>, [x, y]: [Id; 2], f: usize, scope: &str) -> [Id; 2] {
    let pool_x = format!("{scope}/calibrate/pool_x");
    let pool_y = format!("{scope}/calibrate/pool_y");
    let first = if graph.value(x).h != graph.value(y).h {
        let positive = graph.relu(x);
        halve(graph, positive, &pool_x)
    } else if graph.value(x).c != f {
        project(graph, x, &pool_x)
    } else {
        x
    };
    let second = if graph.value(y).c == f { y } else { project(graph, y, &pool_y) };
    [first, second]
}

fn pool(graph: &mut Graph<'_>, x: Id, op: Op, stride: usize) -> Id {
    if op == Op::MaxPool3x3 {
        return graph.max_pool(x, stride);
    }
    let h = graph.value(x).h;
    let w = graph.value(x).w;
    graph.average_pool(x, Windows::same(h, 3, stride), Windows::same(w, 3, stride))
}

fn fixed_edge(graph: &mut Graph<'_>, x: Id, op: Op, stride: usize, scope: &str) -> Id {
    let k = match op {
        Op::SepConv3x3 => 3,
        Op::SepConv5x5 => 5,
        Op::Identity if stride == 1 => return x,
        Op::Identity => return halve(graph, x, scope),
        _ => return pool(graph, x, op, stride),
    };
    let mut x = x;
    for (conv, stride) in [("sep_conv_0", stride), ("sep_conv_1", 1)] {
        let scope = format!("{scope}/{conv}");
        let depth = graph.weight(format!("{scope}/w_depth"));
        let point = graph.weight(format!("{scope}/w_point"));
        let positive = graph.relu(x);
        let filtered = graph.depthwise(positive, depth, k, stride);
        let raw = graph.conv(filtered, vec![point], 1);
        x = norm(graph, raw, &scope);
    }
    x
}

fn shared_cell(graph: &mut Graph<'_>, cell: &Cell, inputs: [Id; 2], f: usize, scope: &str) -> Id {
    let mut states = calibrate(graph, inputs, f, scope).to_vec();
    for (n, node) in cell.nodes().iter().enumerate() {
        let [x, y] = [("x", node.x), ("y", node.y)].map(|(side, branch)| {
            let scope = format!("{scope}/cell_{n}/{side}");
            shared_edge(graph, states[branch.input], branch, n + 2, &scope)
        });
        states.push(graph.add(x, y, format!("{scope}/cell_{n}")));
    }
    let loose = cell.loose_ends();
    let parts: Vec<Id> = loose.iter().map(|i| graph.relu(states[*i])).collect();
    let joined = graph.concat(&parts);
    let scope = format!("{scope}/final_conv");
    let kernel = loose.iter().map(|i| graph.row(format!("{scope}/w"), *i, states.len())).collect();
    let raw = graph.conv(joined, kernel, 1);
    norm(graph, raw, &scope)
}

/// The operation of a node with `rows` possible inputs, each with its row of the tables.
fn shared_edge(graph: &mut Graph<'_>, x: Id, branch: Branch, rows: usize, scope: &str) -> Id {
    let k = match branch.op {
        Op::SepConv3x3 => 3,
        Op::SepConv5x5 => 5,
        Op::Identity => return x,
        _ => return pool(graph, x, branch.op, 1),
    };
    let mut x = x;
    for stack in 0..2 {
        let scope = format!("{scope}/conv_{k}x{k}/stack_{stack}");
        let [depth, point, gamma, beta] = ["w_depth", "w_point", "bn/scale", "bn/offset"]
            .map(|part| graph.row(format!("{scope}/{part}"), branch.input, rows));
        let positive = graph.relu(x);
        let filtered = graph.depthwise(positive, depth, k, 1);
        let raw = graph.conv(filtered, vec![point], 1);
        x = graph.norm(raw, gamma, beta);
    }
    x
}
