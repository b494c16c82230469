"""torch-rechub's DCNv2; runs in an environment of its own. Arguments: folder, number of seeds (see rows.py)."""

import torch
from epochs import CROSS_LAYERS, CROSS_RANK, EMBEDDING_SIZE, HIDDEN, choose_model, coded, num_codes
from rows import PAD, Rows
from torch import Tensor, nn
from torch_rechub.basic.features import DenseFeature, SequenceFeature, SparseFeature
from torch_rechub.models.ranking import DCNv2


def build(rows: Rows, names: list[str]) -> tuple[nn.Module, dict[str, Tensor]]:
    features = [DenseFeature("numbers", embed_dim=rows.scaled.shape[1])]
    for name in names:
        if name in rows.sequences:
            sequence = SequenceFeature(
                name,
                num_codes(rows, name),
                embed_dim=EMBEDDING_SIZE,
                pooling="mean",
                shared_with=rows.sequences[name] or None,
                padding_idx=PAD,
            )
            features.append(sequence)
        else:
            features.append(SparseFeature(name, num_codes(rows, name), embed_dim=EMBEDDING_SIZE))
    model = DCNv2(
        features,
        n_cross_layers=CROSS_LAYERS,
        low_rank=CROSS_RANK,
        mlp_params={"dims": list(HIDDEN), "dropout": 0.1, "activation": "relu"},
    )
    return model, {**coded(rows, names), "numbers": torch.from_numpy(rows.scaled)}


if __name__ == "__main__":
    choose_model("rechub", build)
