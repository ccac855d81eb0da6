"""Architectures of the transformers library, tiny and with random weights; nothing is downloaded."""

import torch

N = 4
SIZES = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
TOKENS = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
TEXT = {"vocab_size": 40, **SIZES}
MASKED = {**TEXT, "pad_token_id": 0}
CAUSAL = {**TEXT, "num_key_value_heads": 2, **TOKENS}
PATCHES = {"image_size": 16, "patch_size": 8, **SIZES}
STAGES = {"hidden_sizes": [8, 8], "depths": [1, 1]}
WINDOWS = {"image_size": 16, "patch_size": 2, "embed_dim": 8, "depths": [2, 2], "num_heads": [2, 2], "window_size": 4}
ENCODER_DECODER = {
    "decoder_start_token_id": 2,
    "decoder_layers": 1,
    "encoder_layers": 1,
    "decoder_attention_heads": 2,
    "encoder_attention_heads": 2,
}
ENCODER_DECODER |= {"d_model": 16, "vocab_size": 40, "encoder_ffn_dim": 24, "decoder_ffn_dim": 24, **TOKENS}
T5 = {
    "vocab_size": 40,
    "d_model": 16,
    "d_kv": 8,
    "d_ff": 24,
    "num_layers": 2,
    "num_heads": 2,
    "decoder_start_token_id": 0,
    "pad_token_id": 0,
    "eos_token_id": 2,
}
STATES = {"vocab_size": 40, "hidden_size": 16, "num_hidden_layers": 2, **TOKENS}
EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2}
TOWER = dict(PATCHES)


def text():
    return {"input_ids": torch.randint(3, 40, (N, 6), generator=torch.Generator().manual_seed(1))}


def two_texts():
    return {**text(), "decoder_input_ids": text()["input_ids"].flip(0)}


def small():
    return {"pixel_values": torch.randn(N, 3, 16, 16, generator=torch.Generator().manual_seed(2))}


def large():
    return {"pixel_values": torch.randn(N, 3, 32, 32, generator=torch.Generator().manual_seed(3))}


def text_and_images():
    return {**text(), **small()}


def sound():
    return {"input_values": torch.randn(N, 200, generator=torch.Generator().manual_seed(4))}


def spectra_and_text():
    found = torch.randn(N, 8, 16, generator=torch.Generator().manual_seed(5))
    return {"input_features": found, "decoder_input_ids": text()["input_ids"]}


# Name of the model's class without its ending: configuration, and what makes a batch.
QUICK = {
    "Bert": (MASKED, text),
    "GPT2": ({"vocab_size": 40, "n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 16, **TOKENS}, text),
    "ViT": (PATCHES, small),
    "Swinv2": (WINDOWS, small),
    "OPT": ({"ffn_dim": 24, "max_position_embeddings": 16, "word_embed_proj_dim": 16, **TEXT, **TOKENS}, text),
    "Llama": (CAUSAL, text),
    "Qwen2Moe": ({**CAUSAL, **EXPERTS, "moe_intermediate_size": 8, "shared_expert_intermediate_size": 8}, text),
    "SwitchTransformers": (
        {**T5, "num_experts": 4, "num_decoder_layers": 2, "num_sparse_encoder_layers": 1, "num_sparse_decoder_layers": 1},
        two_texts,
    ),
    "Bart": ({**ENCODER_DECODER, "max_position_embeddings": 16}, two_texts),
    "MobileNetV2": ({"image_size": 32, "depth_multiplier": 0.25}, large),
    "ResNet": ({**STAGES, "embedding_size": 8}, large),
    "ConvNextV2": ({**STAGES, "num_stages": 2}, large),
    "CLIP": (
        {"text_config": {**TEXT, "max_position_embeddings": 16, "projection_dim": 8, **TOKENS}, "vision_config": TOWER, "projection_dim": 8},
        text_and_images,
    ),
    "Albert": ({**MASKED, "embedding_size": 8}, text),
    "Mamba": ({**STATES, "state_size": 4}, text),
    "Wav2Vec2": (
        {
            **SIZES,
            "conv_dim": [8, 8], "conv_stride": [4, 2], "conv_kernel": [8, 4], "num_conv_pos_embeddings": 4, "num_conv_pos_embedding_groups": 2,
        },
        sound,
    ),
    "Levit": (
        {
            "image_size": 32, "hidden_sizes": [16] * 3, "num_attention_heads": [2] * 3, "depths": [1] * 3, "key_dim": [4] * 3,
            "mlp_ratio": [2] * 3, "attention_ratio": [2] * 3,
        },
        large,
    ),
    "Bloom": ({"vocab_size": 40, "hidden_size": 16, "n_layer": 2, "n_head": 2, **TOKENS}, text),
    "DeepseekV3": (
        {
            **CAUSAL,
            "n_routed_experts": 4, "num_experts_per_tok": 2, "n_group": 2, "topk_group": 1, "first_k_dense_replace": 1,
            "moe_intermediate_size": 8, "q_lora_rank": 8, "kv_lora_rank": 8, "qk_rope_head_dim": 4, "v_head_dim": 8, "qk_nope_head_dim": 4,
        },
        text,
    ),
}  # fmt: skip
MORE = {
    "Swin": (WINDOWS, small),
    "T5": (T5, two_texts),
    "MobileViT": (
        {"image_size": 32, "hidden_sizes": [8] * 3, "neck_hidden_sizes": [4, 4, 8, 8, 8, 8, 8], "num_attention_heads": 2, "expand_ratio": 2.0},
        large,
    ),
    "MobileNetV1": ({"image_size": 32, "depth_multiplier": 0.25}, large),
    "ConvNext": ({**STAGES, "num_stages": 2}, large),
    "RegNet": ({**STAGES, "embedding_size": 8, "groups_width": 4}, large),
    "DistilBert": ({"vocab_size": 40, "dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 24}, text),
    "DebertaV2": (MASKED, text),
    "Rwkv": ({**STATES, "attention_hidden_size": 16, "intermediate_size": 24, "context_length": 16}, text),
    "Whisper": ({**ENCODER_DECODER, "max_source_positions": 8, "max_target_positions": 16, "num_mel_bins": 8}, spectra_and_text),
    "Segformer": (
        {
            "num_encoder_blocks": 2, "depths": [1, 1], "sr_ratios": [2, 1], "hidden_sizes": [8, 8], "patch_sizes": [3, 3], "strides": [2, 2],
            "num_attention_heads": [1, 2], "mlp_ratios": [2, 2],
        },
        small,
    ),
    "Bit": ({"embedding_size": 8, "hidden_sizes": [32, 32], "depths": [1, 1], "num_groups": 2}, large),
    "Dinov2": ({"image_size": 16, "patch_size": 8, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "mlp_ratio": 2}, small),
    "Beit": (PATCHES, small),
    "Gemma": ({**CAUSAL, "head_dim": 8}, text),
    "Phi": (CAUSAL, text),
    "GPTNeoX": ({**TEXT, **TOKENS}, text),
    "XLNet": ({"vocab_size": 40, "d_model": 16, "n_layer": 2, "n_head": 2, "d_inner": 24}, text),
    "Funnel": ({"vocab_size": 40, "d_model": 16, "n_head": 2, "d_head": 8, "d_inner": 24, "block_sizes": [1, 1], "num_decoder_layers": 1}, text),
    "FNet": ({"vocab_size": 40, "hidden_size": 16, "num_hidden_layers": 2, "intermediate_size": 24}, text),
    "Mamba2": ({**STATES, "state_size": 4, "num_heads": 4, "head_dim": 8, "n_groups": 1, "chunk_size": 4}, text),
    "GPTNeo": (
        {
            "vocab_size": 40, "hidden_size": 16, "num_layers": 2, "num_heads": 2, "attention_types": [[["global", "local"], 1]],
            "max_position_embeddings": 16, "window_size": 4, **TOKENS,
        },
        text,
    ),
}  # fmt: skip
# All activation functions lie in routed experts: no layer has rows.
ROUTED = {
    "Mixtral": ({**CAUSAL, "num_local_experts": 4}, text),
    "Olmoe": ({**CAUSAL, **EXPERTS}, text),
    "GptOss": ({**CAUSAL, "head_dim": 8, "num_local_experts": 4}, text),
}


def built(name):
    """Build a model with random weights, and its batch."""
    import transformers

    options, batch = {**QUICK, **MORE, **ROUTED}[name]
    torch.manual_seed(0)
    return getattr(transformers, f"{name}Model")(getattr(transformers, f"{name}Config")(**options)).eval(), batch()
