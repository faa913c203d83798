// Logits, loss and every gradient against the reference implementation (make_model_goldens.py).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "io/safetensors.h"
#include "io/test_support.h"
#include "stone/stone.h"

namespace stepstone {
namespace {

// Largest difference relative to the largest value of `expected`.
double relative_error(std::span<const float> got, std::span<const float> expected) {
  double scale = 1e-6, worst = 0;
  for (const float x : expected) scale = std::max(scale, std::abs(static_cast<double>(x)));
  for (std::size_t i = 0; i < got.size(); ++i) {
    worst = std::max(worst, std::abs(static_cast<double>(got[i]) - expected[i]) / scale);
  }
  return worst;
}

class Golden : public ::testing::TestWithParam<const char*> {};

TEST_P(Golden, LogitsLossAndGradients) {
  const auto folder = std::filesystem::path(STEPSTONE_SOURCE_DIR) / "tests/golden" / GetParam();
  const auto golden = SafetensorsFile::open(folder / "golden.safetensors");
  const auto config_file = (folder / "config.json").string();
  Transformer model(transformer_config_from_json(read_json(config_file), config_file));
  load_tensors(model, load_safetensors_folder(folder), folder.string());

  const Tensor ids = golden.tensor("input_ids");
  const std::int64_t rows = ids.dim(0), cols = ids.dim(1);
  std::vector<std::int32_t> tokens, targets, positions, segments = {0};
  for (std::int64_t i = 0; i < rows; ++i) {
    for (std::int64_t j = 0; j < cols; ++j) {
      const auto* row = ids.data<std::int64_t>() + i * cols;
      tokens.push_back(static_cast<std::int32_t>(row[j]));
      targets.push_back(j + 1 < cols ? static_cast<std::int32_t>(row[j + 1]) : -1);
      positions.push_back(static_cast<std::int32_t>(j));
    }
    segments.push_back(static_cast<std::int32_t>(tokens.size()));
  }
  Graph graph({.record = true});
  const Var hidden = model.hidden(graph, {tokens, positions, segments});
  Graph inference;
  const Tensor logits = model.logits(inference, hidden.value());
  EXPECT_LT(relative_error(logits.span<float>(), golden.tensor("logits").span<float>()), 1e-4);

  ops::HeadLossConfig config;
  config.scale = 1.0f / static_cast<float>(rows * (cols - 1));
  const Var loss = model.loss(graph, hidden, targets, config);
  EXPECT_NEAR(loss.value().data<float>()[0], golden.tensor("loss").data<float>()[0], 1e-5);
  graph.backward(loss);

  // Gradients take the place of the weights, so that to_tensors() gives them their names.
  int checked = 0;
  for (nn::Parameter& p : model.parameters()) p.var.value().copy_from(p.var.grad());
  for (const auto& [name, gradient] : to_tensors(model)) {
    const Tensor expected = golden.tensor(name);
    EXPECT_LT(relative_error(gradient.span<float>(), expected.span<float>()), 1e-4) << name;
    ++checked;
  }
  EXPECT_GT(checked, 10);
}

// GPT-2 was published as a body without a head: names begin after "transformer.", and each layer
// has a buffer for its mask.
TEST(Weights, OfABodyAlone) {
  const auto published = std::filesystem::path(STEPSTONE_SOURCE_DIR) / "tests/golden/gpt2";
  const testing::ScratchFolder folder;
  TensorMap tensors;
  for (const auto& [name, tensor] : load_safetensors_folder(published)) {
    tensors[name.substr(name.find('.') + 1)] = tensor;
  }
  tensors["h.0.attn.bias"] = Tensor::zeros({1, 1, 8, 8}, DType::f32);
  write_safetensors(folder / "model.safetensors", tensors);
  std::filesystem::copy(published / "config.json", folder / "config.json");
  const auto whole = load_weights(published), body = load_weights(folder.path());
  auto other = body->parameters().begin();
  for (const nn::Parameter& p : whole->parameters()) {
    const auto expected = p.var.value().span<float>(), got = other++->var.value().span<float>();
    EXPECT_TRUE(std::equal(expected.begin(), expected.end(), got.begin(), got.end())) << p.name;
  }
}

TEST(Weights, ThatAreNoNumbersAreNamed) {
  const auto published = std::filesystem::path(STEPSTONE_SOURCE_DIR) / "tests/golden/qwen3";
  const testing::ScratchFolder folder;
  std::filesystem::copy(published / "config.json", folder / "config.json");
  for (const float bad : {std::nanf(""), INFINITY, -INFINITY}) {
    TensorMap tensors;
    for (const auto& [name, tensor] : load_safetensors_folder(published)) {
      tensors[name] = tensor.clone();
    }
    const std::string name = "model.layers.1.mlp.down_proj.weight";
    const Tensor& damaged = tensors.at(name);
    damaged.data<float>()[damaged.dim(1) * 2 + 5] = bad;
    write_safetensors(folder / "model.safetensors", tensors);
    const auto message = testing::message_of<FormatError>([&] { load_weights(folder.path()); });
    EXPECT_EQ(message, fmt::format("{}: {}: the value at [2, 5] is {}: the weights are damaged",
                                   (folder / "model.safetensors").string(), name, bad));
  }
}

// What changes the computation is known or refused, whatever the family.
TEST(Config, FieldsThatCountAreKnownOrRefused) {
  const auto published = std::filesystem::path(STEPSTONE_SOURCE_DIR) / "tests/golden";
  const auto problem = [&](const char* family, const char* field, const Json& value) {
    Json json = read_json(published / family / "config.json");
    json[Json::json_pointer(field)] = value;
    std::string named(field + 1);
    std::ranges::replace(named, '/', '.');
    return testing::format_error_mismatch(
        [&] { transformer_config_from_json(json, "config.json"); }, named);
  };
  const auto refused = [&](const char* family, const char* field, const Json& value) {
    EXPECT_EQ(problem(family, field, value), "") << family << " " << field << " " << value;
  };
  const auto accepted = [&](const char* family, const char* field, const Json& value) {
    EXPECT_THAT(problem(family, field, value), ::testing::StartsWith("accepted"))
        << family << " " << field << " " << value;
  };
  for (const char* family : {"llama", "qwen2", "qwen3", "mistral", "phi3", "gemma2", "gpt2"}) {
    for (const char* granite : {"/embedding_multiplier", "/residual_multiplier",
                                "/attention_multiplier", "/logits_scaling"}) {
      refused(family, granite, 0.22);
      accepted(family, granite, 1.0);
    }
    refused(family, "/num_experts", 8);
    refused(family, "/num_local_experts", 8);
    accepted(family, "/num_experts", 0);
    refused(family, "/moe_intermediate_size", 64);
    refused(family, "/kv_lora_rank", 512);
    refused(family, "/clip_qkv", 8.0);
    accepted(family, "/clip_qkv", nullptr);
    refused(family, "/use_qk_norm", true);
    refused(family, "/is_causal", false);
    refused(family, "/alibi", true);
    accepted(family, "/unsloth_version", "2026.1");
    accepted(family, "/router_aux_loss_coef", 0.001);
    accepted(family, "/chunk_size_feed_forward", 0);
  }
  refused("gpt2", "/scale_attn_by_inverse_layer_idx", true);
  refused("gpt2", "/scale_attn_weights", false);
  refused("gpt2", "/rope_scaling", {{"type", "linear"}, {"factor", 2}});
  refused("llama", "/attn_logit_softcapping", 30.0);
  accepted("llama", "/attn_logit_softcapping", nullptr);
  accepted("gemma2", "/attn_logit_softcapping", 30.0);
  refused("qwen3", "/query_pre_attn_scalar", 24);
  refused("qwen3", "/layer_types", {"full_attention", "chunked_attention"});
  refused("qwen3", "/layer_types", {"full_attention", "sliding_attention"});  // without a window
  refused("llama", "/layer_types", {"full_attention", "sliding_attention"});
  refused("qwen2", "/layer_types", "sliding_attention");
  refused("llama3-rope", "/rope_theta", -0.0);
  refused("qwen3", "/rope_parameters/long_mscale", 1.2);
  accepted("qwen3", "/rope_parameters/mrope_section", {2, 1, 1});
  Json json = read_json(published / "gemma3/config.json");
  json["rope_parameters"]["sliding_attention"]["rope_type"] = "linear";
  EXPECT_EQ(testing::format_error_mismatch(
                [&] { transformer_config_from_json(json, "config.json"); }, "rope_parameters"),
            "");
}

TEST(Config, YarnsAttentionFactorInDeepSeeksWords) {
  const auto published = std::filesystem::path(STEPSTONE_SOURCE_DIR) / "tests/golden/qwen3";
  Json json = read_json(published / "config.json");
  json["rope_parameters"] = {
      {"rope_type", "yarn"}, {"factor", 40.0}, {"mscale", 1.0}, {"mscale_all_dim", 0.5}};
  const auto c = transformer_config_from_json(json, "config.json");
  // (0.1 · ln 40 + 1) / (0.05 · ln 40 + 1)
  EXPECT_NEAR(c.rope.scaling.attention_factor, 1.3688879 / 1.1844440, 1e-6);
}

TEST(Config, NumbersAreAsShortAsTheyCanBe) {
  TransformerConfig config;
  for (const char* family : {"llama", "gpt2"}) {
    config.model_type = family;
    config.norm_eps = 1e-6f;
    EXPECT_THAT(to_json(config).dump(), ::testing::HasSubstr("_eps"));
    EXPECT_THAT(to_json(config).dump(), ::testing::HasSubstr("1e-06"));
  }
}

INSTANTIATE_TEST_SUITE_P(Models, Golden,
                         ::testing::Values("gemma2", "gemma3", "gpt2", "internlm2", "llama",
                                           "llama3-rope", "mistral", "phi3", "qwen2", "qwen3"),
                         [](const auto& info) {
                           std::string name = info.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace stepstone
