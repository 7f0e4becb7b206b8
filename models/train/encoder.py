"""The frame encoder: Whisper's convolutional stem and first layers, with a level normalisation for fixed chunks.

Input: raw log10 mel chunks [batch, 400, 80]. Output: [batch, 200, width x (1 + layers)], the output of the stem and of
each layer side by side, one vector per 20 ms, less the mean of frames that sound alike where `content` is known; beside
them that of the tuned layer, where there is one.
"""

import copy
import math

import torch
from torch import nn
from torch.nn import functional

CHUNK_FRAMES = 400
# Maximum of a chunk's log10 mel for speech peaking near full scale; fixes the level at which Whisper's layers are run.
REFERENCE_MAXIMUM = 1.5


class Layer(nn.Module):
    """One pre-norm transformer layer."""

    def __init__(self, width, head_count):
        super().__init__()
        self.head_count = head_count
        self.attention_norm = nn.LayerNorm(width)
        self.attention_in = nn.Linear(width, 3 * width)
        self.attention_out = nn.Linear(width, width)
        self.ffn_norm = nn.LayerNorm(width)
        self.ffn_in = nn.Linear(width, 4 * width)
        self.ffn_out = nn.Linear(4 * width, width)

    def attention(self, x):
        batch, frames, width = x.shape
        heads = self.attention_in(x).reshape(batch, frames, 3, self.head_count, width // self.head_count)
        query, key, value = heads.permute(2, 0, 3, 1, 4)
        weights = torch.softmax(query @ key.transpose(-1, -2) / math.sqrt(width // self.head_count), dim=-1)
        return self.attention_out((weights @ value).transpose(1, 2).reshape(batch, frames, width))

    def forward(self, x):
        x = x + self.attention(self.attention_norm(x))
        return x + self.ffn_out(functional.gelu(self.ffn_in(self.ffn_norm(x))))


def at_half_rate(layer, x):
    """`layer` on means of two neighbouring frames of `x` [batch, frames, width], each of its outputs twice."""
    return layer(x.unflatten(1, (-1, 2)).mean(dim=2)).repeat_interleave(2, dim=1)


class Encoder(nn.Module):
    def __init__(self, width, head_count, layer_count):
        super().__init__()
        self.conv1 = nn.Conv1d(80, width, 3, padding=1)
        self.conv2 = nn.Conv1d(width, width, 3, stride=2, padding=1)
        self.positions = nn.Parameter(torch.zeros(CHUNK_FRAMES // 2, width), requires_grad=False)
        self.layers = nn.ModuleList([Layer(width, head_count) for _ in range(layer_count)])
        self.head_count = head_count
        self.width, self.statistics_width = width, 3 * width * (1 + layer_count)  # without the tuned layer's
        self.content = None  # class of sound from the layers' outputs: a Linear
        self.content_means = None  # [classes, width x (1 + layers)]
        self.tuned = None  # a `Layer` behind the last one, see tuning.py

    @staticmethod
    def normalised(logmel):
        """Whisper's scaling with the chunk's own maximum moved to `REFERENCE_MAXIMUM`: level has no influence."""
        maximum = logmel.reshape(logmel.shape[0], 1, -1).amax(dim=2, keepdim=True)
        return (torch.maximum(logmel - maximum, torch.tensor(-8.0)) + (REFERENCE_MAXIMUM + 4.0)) / 4.0

    def stem(self, logmel):
        x = self.normalised(logmel).transpose(1, 2)
        x = functional.gelu(self.conv1(x))
        return functional.gelu(self.conv2(x)).transpose(1, 2)

    def _outputs(self, logmel):
        """[batch, 200, width] each: of the stem and of each layer."""
        outputs = [self.stem(logmel)]
        x = outputs[0] + self.positions
        for layer in self.layers:
            x = layer(x)
            outputs.append(x)
        return outputs

    def last_outputs(self, logmel):
        """[batch, 200, width]: of the last layer, which the tuned one reads."""
        return self._outputs(logmel)[-1]

    def forward(self, logmel):
        outputs = self._outputs(logmel)
        out = torch.cat(outputs, dim=2)
        if self.content is not None:
            shares = torch.softmax(self.content(out[:, :, self.width :]), dim=2)
            out = out - shares @ self.content_means
        return out if self.tuned is None else torch.cat([out, at_half_rate(self.tuned, outputs[-1])], dim=2)

    def without_last_layer(self):
        """Takes the last layer off; that layer."""
        layer = self.layers[-1]
        del self.layers[-1]
        self.statistics_width -= 3 * self.width
        return layer

    def with_tuned(self, layer):
        """A copy with the tuned `layer`."""
        whole = copy.deepcopy(self)
        whole.tuned = layer
        return whole

    def without_content(self, weight, bias, means):
        """Takes out what `content.fit` found."""
        self.content = nn.Linear(weight.shape[1], weight.shape[0])
        self.content.load_state_dict({"weight": torch.tensor(weight), "bias": torch.tensor(bias)})
        self.content_means = nn.Parameter(torch.tensor(means), requires_grad=False)
        return self


def _layer_state(variables, index):
    prefix = f"encoder/layer_{index}"
    return {
        "attention_norm.weight": variables[f"{prefix}/self_attention/layer_norm/gamma"],
        "attention_norm.bias": variables[f"{prefix}/self_attention/layer_norm/beta"],
        "attention_in.weight": variables[f"{prefix}/self_attention/linear_0/weight"],
        "attention_in.bias": variables[f"{prefix}/self_attention/linear_0/bias"],
        "attention_out.weight": variables[f"{prefix}/self_attention/linear_1/weight"],
        "attention_out.bias": variables[f"{prefix}/self_attention/linear_1/bias"],
        "ffn_norm.weight": variables[f"{prefix}/ffn/layer_norm/gamma"],
        "ffn_norm.bias": variables[f"{prefix}/ffn/layer_norm/beta"],
        "ffn_in.weight": variables[f"{prefix}/ffn/linear_0/weight"],
        "ffn_in.bias": variables[f"{prefix}/ffn/linear_0/bias"],
        "ffn_out.weight": variables[f"{prefix}/ffn/linear_1/weight"],
        "ffn_out.bias": variables[f"{prefix}/ffn/linear_1/bias"],
    }


def pretrained_encoder(variables, layer_count):
    """An encoder with the weights of `pretrained.encoder_variables`; heads are 64 wide, as in every Whisper."""
    width = variables["encoder/conv1/bias"].shape[0]
    encoder = Encoder(width, width // 64, layer_count)
    state = {
        "conv1.weight": variables["encoder/conv1/weight"],
        "conv1.bias": variables["encoder/conv1/bias"],
        "conv2.weight": variables["encoder/conv2/weight"],
        "conv2.bias": variables["encoder/conv2/bias"],
        "positions": variables["encoder/position_encodings/encodings"][: CHUNK_FRAMES // 2],
    }
    for index in range(layer_count):
        state |= {f"layers.{index}.{name}": value for name, value in _layer_state(variables, index).items()}
    encoder.load_state_dict({name: torch.tensor(value) for name, value in state.items()})
    return encoder.eval()
