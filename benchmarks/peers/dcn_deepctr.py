"""deepctr-torch's DCN; runs in an environment of its own. Arguments: folder, number of seeds (see rows.py)."""

import torch
from deepctr_torch.inputs import DenseFeat, SparseFeat, VarLenSparseFeat
from deepctr_torch.models import DCN
from epochs import CROSS_LAYERS, EMBEDDING_SIZE, HIDDEN, choose_model, coded, num_codes
from rows import Rows
from torch import Tensor, nn


class ByName(nn.Module):
    """deepctr reads one matrix, its columns in the order of its features."""

    def __init__(self, model: DCN) -> None:
        super().__init__()
        self.model = model

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        return self.model(
            torch.cat([inputs[name].reshape(len(inputs[name]), -1) for name in self.model.feature_index], 1)
        )

    def get_regularization_loss(self) -> Tensor:
        return self.model.get_regularization_loss()


def build(rows: Rows, names: list[str]) -> tuple[nn.Module, dict[str, Tensor]]:
    columns = [DenseFeat("numbers", rows.scaled.shape[1])]
    for name in names:
        # A sequence of another column's values shares its embedding.
        table = rows.sequences.get(name) or name
        sparse = SparseFeat(name, num_codes(rows, name), EMBEDDING_SIZE, embedding_name=table)
        columns.append(
            VarLenSparseFeat(sparse, maxlen=rows.padded[name].shape[1], combiner="mean")
            if name in rows.sequences
            else sparse
        )
    model = DCN(
        columns,
        columns,
        cross_num=CROSS_LAYERS,
        cross_parameterization="matrix",
        dnn_hidden_units=HIDDEN,
        dnn_dropout=0.1,
        seed=torch.initial_seed(),
    )
    numbers = torch.from_numpy(rows.scaled)
    inputs = {name: codes.float() for name, codes in coded(rows, names).items()}
    return ByName(model), {**inputs, "numbers": numbers}


if __name__ == "__main__":
    choose_model("deepctr", build)
