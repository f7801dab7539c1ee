//! Makes the parameters of a network's parts under their published names.

use candle_nn::VarBuilder;

use crate::backend::{Conv, ConvBlock, Gather, Norm};
use crate::config::SharedInit;
use crate::params::{Init, ParamId, ParamsBuilder};
use crate::running::Moving;

/// Collects parameters and moving statistics while a network is built.
pub(crate) struct Builder<'v> {
    pub(crate) params: ParamsBuilder<'v>,
    pub(crate) running: Vec<Moving>,
    /// How many batch norms keep moving statistics, or would.
    norms: usize,
    /// Whether what is made from now on is trained.
    pub(crate) trained: bool,
}

impl<'v> Builder<'v> {
    /// With the tensors of a builder; without one, for places alone.
    pub(crate) fn new(builder: Option<VarBuilder<'v>>) -> Self {
        Self { params: ParamsBuilder::new(builder), running: Vec::new(), norms: 0, trained: true }
    }

    /// A weight tensor initialised for `fan_in` inputs.
    pub(crate) fn weight(&mut self, name: String, shape: &[usize], fan_in: usize) -> ParamId {
        self.params.tensor(name, shape, Init::He { fan_in }, self.trained)
    }

    /// `<scope>/bn` with moving statistics.
    pub(crate) fn norm(&mut self, scope: &str, channels: usize) -> Norm {
        let mut tensor = |name, value| {
            self.params.tensor(format!("{scope}/bn/{name}"), &[channels], Init::Constant(value), self.trained)
        };
        let (offset, scale) = (tensor("offset", 0.0), tensor("scale", 1.0));
        let mut moving =
            |name, value| self.params.get(&format!("{scope}/bn/{name}"), &[channels], Init::Constant(value));
        if let (Some(mean), Some(variance)) = (moving("moving_mean", 0.0), moving("moving_variance", 1.0)) {
            self.running.push(Moving::new(format!("{scope}/bn"), mean, variance));
        }
        self.norms += 1;
        Norm { scale, offset, running: Some(self.norms - 1) }
    }

    /// A k×k convolution, SAME padding, stride 1: `<scope>/w` of shape `[k, k, inputs, outputs]`.
    pub(crate) fn conv(
        &mut self,
        scope: &str,
        k: usize,
        inputs: usize,
        outputs: usize,
        relu: bool,
    ) -> ConvBlock {
        let weight = self.weight(format!("{scope}/w"), &[k, k, inputs, outputs], k * k * inputs);
        let gather = if k == 1 { Gather::Pixels } else { Gather::Patches { k } };
        let convs = vec![Conv { gather, weight: vec![weight], outputs }];
        ConvBlock { relu, convs, norm: self.norm(scope, outputs) }
    }

    /// A factorised reduction: two 1×1 convolutions, on the even and on the odd pixels, side by side.
    pub(crate) fn reduction(&mut self, scope: &str, inputs: usize, outputs: usize, relu: bool) -> ConvBlock {
        let half = outputs / 2;
        let convs = [("path1_conv", 0), ("path2_conv", 1)]
            .map(|(path, offset)| Conv {
                gather: Gather::EverySecond { offset },
                weight: vec![self.weight(format!("{scope}/{path}/w"), &[1, 1, inputs, half], inputs)],
                outputs: half,
            })
            .to_vec();
        ConvBlock { relu, convs, norm: self.norm(scope, outputs) }
    }

    /// A separable convolution of one network: ReLU, depthwise k×k, 1×1, batch norm.
    pub(crate) fn separable(&mut self, scope: &str, k: usize, stride: usize, channels: usize) -> ConvBlock {
        let filter = self.weight(format!("{scope}/w_depth"), &[k, k, channels, 1], k * k * channels);
        let point = self.weight(format!("{scope}/w_point"), &[1, 1, channels, channels], channels);
        let gather = Gather::Depthwise { filter, k, stride };
        let convs = vec![Conv { gather, weight: vec![point], outputs: channels }];
        ConvBlock { relu: true, convs, norm: self.norm(scope, channels) }
    }

    /// Separable convolutions for every possible input of a node: tables with one row per input state.
    pub(crate) fn shared_separable(
        &mut self,
        scope: &str,
        k: usize,
        channels: usize,
        rows: usize,
        init: SharedInit,
    ) -> Vec<ConvBlock> {
        let mut table = |name: &str, len, init| {
            self.params.table(format!("{scope}/{name}"), &[rows, len], rows, init, self.trained)
        };
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
                let gather = Gather::Depthwise { filter: filters[row], k, stride: 1 };
                let convs = vec![Conv { gather, weight: vec![points[row]], outputs: channels }];
                // Shared edges keep no moving statistics: no arc would own them.
                let norm = Norm { scale: scales[row], offset: offsets[row], running: None };
                ConvBlock { relu: true, convs, norm }
            })
            .collect()
    }
}
