//! Makes the parameters of a network's parts under the names of the authors' code.

use candle_nn::VarBuilder;

use crate::config::SharedInit;
use crate::layer::{BatchNorm, Classifier, Conv, ConvLayer, GatherKind};
use crate::params::{Init, NormRunningStats, ParamId, ParamsBuilder};

/// Collects parameters and moving statistics while a network is built.
pub(crate) struct Builder<'v> {
    pub(crate) params: ParamsBuilder<'v>,
    pub(crate) running: Vec<NormRunningStats>,
    /// Number of batch norms with moving statistics, whether or not `params` provides tensors for them.
    norms: usize,
    /// Whether parameters made from now on are trained.
    pub(crate) trained: bool,
}

impl<'v> Builder<'v> {
    /// With the tensors of `builder`. Without one, only names and sizes are collected.
    pub(crate) fn new(builder: Option<VarBuilder<'v>>) -> Self {
        Self { params: ParamsBuilder::new(builder), running: Vec::new(), norms: 0, trained: true }
    }

    /// A weight tensor with He initialisation for `fan_in` inputs.
    pub(crate) fn weight(&mut self, name: String, shape: &[usize], fan_in: usize) -> ParamId {
        self.params.tensor(name, shape, Init::He { fan_in }, self.trained)
    }

    /// A classifier with the matrix `<scope>/w`.
    pub(crate) fn classifier(&mut self, scope: &str, channels: usize, classes: usize) -> Classifier {
        let weight = self.weight(format!("{scope}/w"), &[channels, classes], channels);
        Classifier { weight, channels, classes }
    }

    /// The batch norm `<scope>/bn` with moving statistics; all its tensors are `[channels]` (`image_ops.py:101-113`).
    pub(crate) fn norm(&mut self, scope: &str, channels: usize) -> BatchNorm {
        let mut tensor = |name, value| {
            self.params.tensor(format!("{scope}/bn/{name}"), &[channels], Init::Constant(value), self.trained)
        };
        let offset = tensor("offset", 0.0);
        let scale = tensor("scale", 1.0);
        let mut moving =
            |name, value| self.params.get(&format!("{scope}/bn/{name}"), &[channels], Init::Constant(value));
        if let (Some(mean), Some(variance)) = (moving("moving_mean", 0.0), moving("moving_variance", 1.0)) {
            self.running.push(NormRunningStats::new(format!("{scope}/bn"), mean, variance));
        }
        self.norms += 1;
        BatchNorm { scale, offset, running: Some(self.norms - 1) }
    }

    /// A dense k×k convolution with SAME padding and stride 1: `<scope>/w` of shape `[k, k, inputs, outputs]`.
    pub(crate) fn conv(
        &mut self,
        scope: &str,
        k: usize,
        inputs: usize,
        outputs: usize,
        relu: bool,
    ) -> ConvLayer {
        let weight = self.weight(format!("{scope}/w"), &[k, k, inputs, outputs], k * k * inputs);
        let gather = if k == 1 { GatherKind::Pixels } else { GatherKind::Patches { k } };
        let convs = vec![Conv { gather, weight: vec![weight], outputs }];
        ConvLayer { relu, convs, norm: self.norm(scope, outputs) }
    }

    /// A factorized reduction to half height and width, `_factorized_reduction` in `micro_child.py:115-163`. Two 1×1
    /// convolutions of `outputs / 2` channels each read the even and the odd pixels; their outputs are concatenated.
    pub(crate) fn reduction(&mut self, scope: &str, inputs: usize, outputs: usize, relu: bool) -> ConvLayer {
        let half = outputs / 2;
        let convs = [("path1_conv", 0), ("path2_conv", 1)]
            .map(|(path, offset)| Conv {
                gather: GatherKind::EverySecond { offset },
                weight: vec![self.weight(format!("{scope}/{path}/w"), &[1, 1, inputs, half], inputs)],
                outputs: half,
            })
            .to_vec();
        ConvLayer { relu, convs, norm: self.norm(scope, outputs) }
    }

    /// A separable convolution with private weights (`micro_child.py:356-365`): ReLU, depthwise k×k, 1×1, batch norm.
    pub(crate) fn separable(&mut self, scope: &str, k: usize, stride: usize, channels: usize) -> ConvLayer {
        let filter = self.weight(format!("{scope}/w_depth"), &[k, k, channels, 1], k * k * channels);
        let point = self.weight(format!("{scope}/w_point"), &[1, 1, channels, channels], channels);
        let gather = GatherKind::Depthwise { filter, k, stride };
        let convs = vec![Conv { gather, weight: vec![point], outputs: channels }];
        ConvLayer { relu: true, convs, norm: self.norm(scope, channels) }
    }

    /// Shared separable convolutions for every possible input state of a node (`micro_child.py:583-622`). Weights are
    /// tables with one row per input state: `w_depth` is `[rows, k·k·channels]` and `w_point` is
    /// `[rows, channels·channels]`.
    pub(crate) fn shared_separable(
        &mut self,
        scope: &str,
        k: usize,
        channels: usize,
        rows: usize,
        init: SharedInit,
    ) -> Vec<ConvLayer> {
        let mut table = |name: &str, len, init| {
            self.params.table(format!("{scope}/{name}"), &[rows, len], rows, init, self.trained)
        };
        // The authors' initialiser sees a 2-D table `[rows, len]` and takes `rows`, the number of input states, as
        // its fan-in.
        let (depth_fan, point_fan) = match init {
            SharedInit::Table => (rows, rows),
            SharedInit::Kernel => (k * k, channels),
        };
        let filters = table("w_depth", k * k * channels, Init::He { fan_in: depth_fan });
        let points = table("w_point", channels * channels, Init::He { fan_in: point_fan });
        let offsets = table("bn/offset", channels, Init::Constant(0.0));
        let scales = table("bn/scale", channels, Init::Constant(1.0));
        (0..rows)
            .map(|row| {
                let gather = GatherKind::Depthwise { filter: filters[row], k, stride: 1 };
                let convs = vec![Conv { gather, weight: vec![points[row]], outputs: channels }];
                // Shared edges have no moving statistics (`micro_child.py:620-622`): they would mix all arcs.
                let norm = BatchNorm { scale: scales[row], offset: offsets[row], running: None };
                ConvLayer { relu: true, convs, norm }
            })
            .collect()
    }
}
