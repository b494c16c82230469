"""torchrec's DLRM_DCN; runs in an environment of its own. Arguments: folder, number of seeds (see rows.py)."""

import torch
from epochs import CROSS_LAYERS, CROSS_RANK, EMBEDDING_SIZE, HIDDEN, choose_model, coded, num_codes
from rows import PAD, Rows
from torch import Tensor, nn
from torchrec import EmbeddingBagCollection, EmbeddingBagConfig, KeyedJaggedTensor
from torchrec.models.dlrm import DLRM_DCN
from torchrec.modules.embedding_configs import PoolingType


class ByName(nn.Module):
    """torchrec reads values and lengths by feature, and gives logits."""

    def __init__(self, model: DLRM_DCN, names: list[str]) -> None:
        super().__init__()
        self.model, self.names = model, names

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        values, lengths = [], []
        for name in self.names:
            codes = inputs[name].reshape(len(inputs[name]), -1)
            values.append(codes[codes != PAD])
            lengths.append((codes != PAD).sum(1))
        jagged = KeyedJaggedTensor(keys=self.names, values=torch.cat(values), lengths=torch.cat(lengths))
        return self.model(dense_features=inputs["numbers"], sparse_features=jagged).sigmoid()


def build(rows: Rows, names: list[str]) -> tuple[nn.Module, dict[str, Tensor]]:
    tables: dict[str, list[str]] = {}
    for name in names:
        # A sequence of another column's values shares its table.
        tables.setdefault(rows.sequences.get(name) or name, []).append(name)
    configs = [
        EmbeddingBagConfig(
            name=table,
            embedding_dim=EMBEDDING_SIZE,
            num_embeddings=num_codes(rows, table),
            feature_names=features,
            pooling=PoolingType.MEAN,
        )
        for table, features in tables.items()
    ]
    model = DLRM_DCN(
        embedding_bag_collection=EmbeddingBagCollection(tables=configs, device=torch.device("cpu")),
        dense_in_features=rows.scaled.shape[1],
        dense_arch_layer_sizes=[HIDDEN[0], EMBEDDING_SIZE],
        over_arch_layer_sizes=[*HIDDEN, 1],
        dcn_num_layers=CROSS_LAYERS,
        dcn_low_rank_dim=CROSS_RANK,
    )
    ordered = [name for features in tables.values() for name in features]
    return ByName(model, ordered), {**coded(rows, names), "numbers": torch.from_numpy(rows.scaled)}


if __name__ == "__main__":
    choose_model("torchrec", build)
