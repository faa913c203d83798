// Every family written as GGUF and read again: the same weights, the same hidden states.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>
#include <functional>

#include "io/test_support.h"
#include "stone/gguf_config.h"
#include "stone/gguf_model.h"
#include "stone/gguf_tokenizer.h"
#include "stone/stone.h"

namespace stepstone {
namespace {

class GgufModel : public ::testing::TestWithParam<const char*> {
 protected:
  GgufModel()
      : golden_(std::filesystem::path(STEPSTONE_SOURCE_DIR) / "tests/golden" / GetParam()),
        model_(load_weights(golden_)) {}

  std::filesystem::path write(const char* mixture) const {
    GgufWriter writer;
    write_gguf_config(model_->config(), writer);
    add_gguf_tensors(*model_, Mixture::named(mixture), writer);
    writer.write(folder_ / "m.gguf");
    return folder_ / "m.gguf";
  }

  static Tensor hidden(const Transformer& model) {
    std::vector<std::int32_t> tokens, positions;
    for (std::int32_t i = 0; i < 24; ++i) {
      tokens.push_back(i * 31 % 97);
      positions.push_back(i);
    }
    const std::int32_t segments[] = {0, 24};
    Graph graph;
    return model.hidden(graph, {tokens, positions, segments}).value();
  }

  testing::ScratchFolder folder_;
  std::filesystem::path golden_;
  std::unique_ptr<Transformer> model_;
};

TEST_P(GgufModel, ComesBack) {
  const auto back = load_weights(write("F32"));
  ASSERT_EQ(back->parameters().size(), model_->parameters().size());
  auto other = back->parameters().begin();
  for (const nn::Parameter& p : model_->parameters()) {
    const auto expected = p.var.value().span<float>(), got = other->var.value().span<float>();
    ASSERT_EQ(got.size(), expected.size()) << p.name;
    for (std::size_t i = 0; i < got.size(); ++i) {
      // Gemma's norms are stored one higher, which costs their last bit.
      ASSERT_NEAR(got[i], expected[i], model_->config().norm_offset * 2e-7) << p.name;
    }
    ++other;
  }
  if (std::string_view(GetParam()) == "mistral") return;  // GGUF has no window for it
  const Tensor expected = hidden(*model_), got = hidden(*back);
  for (std::int64_t i = 0; i < got.numel(); ++i) {
    ASSERT_NEAR(got.data<float>()[i], expected.data<float>()[i], 2e-5) << i;
  }
}

// Kept in blocks: near the dequantised model (activations are rounded to 8 bits), and the same bits
// for a prompt at once, in pieces or token by token.
TEST_P(GgufModel, QuantisedWeightsServeAsTheyAre) {
  for (const char* mixture : {"Q8_0", "Q4_0"}) {
    const GgufFile file = GgufFile::open(write(mixture));
    Transformer blocks(read_gguf_config(file), nn::Values::none), plain(read_gguf_config(file));
    load_gguf_tensors(blocks, file, Weights::as_stored);
    load_gguf_tensors(plain, file);
    const auto kept = std::ranges::count_if(
        blocks.parameters(), [](const nn::Parameter& p) { return !p.var.defined(); });
    // A width of 44 holds no whole blocks of 32.
    ASSERT_GE(kept, 3 * blocks.config().layers) << "hardly a matrix is in blocks";
    blocks.pack(DType::f32);

    Graph graph;
    const Tensor x = hidden(blocks), y = hidden(plain);
    const Tensor got = blocks.logits(graph, x), expected = plain.logits(graph, y);
    double error = 0, size = 0;
    for (std::int64_t i = 0; i < got.numel(); ++i) {
      const double e = expected.data<float>()[i];
      error += (got.data<float>()[i] - e) * (got.data<float>()[i] - e);
      size += e * e;
    }
    EXPECT_LT(std::sqrt(error / size), 0.08) << mixture;  // small random models: 0.01 to 0.05
    EXPECT_GT(error, 0);

    std::vector<std::int32_t> tokens;
    for (std::int32_t i = 0; i < 24; ++i) tokens.push_back(i * 31 % 97);
    for (const std::int64_t piece : {1, 7, 24}) {
      KvCache cache(blocks.config(), 24, DType::f32);
      for (std::int64_t at = 0; at < 24; at += piece) {
        const auto count = static_cast<std::size_t>(std::min<std::int64_t>(piece, 24 - at));
        const Tensor part =
            blocks
                .hidden(graph, std::span(tokens).subspan(static_cast<std::size_t>(at), count),
                        cache)
                .value();
        ASSERT_EQ(0, std::memcmp(part.raw(), x.slice(at, at + part.rows()).raw(),
                                 part.span<float>().size_bytes()))
            << mixture << " by " << piece << " at " << at;
      }
    }
  }
}

// Halves stay halves, and every bit is that of their f32 values, in either compute type.
TEST_P(GgufModel, HalvesServeAsTheyAre) {
  TensorMap halves = to_tensors(*model_);
  for (auto& [name, tensor] : halves) tensor = tensor.to(DType::bf16);
  Graph f32, bf16({.compute = DType::bf16});
  for (const DType compute : {DType::f32, DType::bf16}) {
    Graph& graph = compute == DType::f32 ? f32 : bf16;
    for (const char* gguf : {"", "BF16", "F16"}) {
      if (*gguf && compute == DType::bf16) continue;
      Transformer kept(model_->config(), nn::Values::none), plain(model_->config());
      if (*gguf) {
        const GgufFile file = GgufFile::open(write(gguf));
        load_gguf_tensors(kept, file, Weights::as_stored);
        load_gguf_tensors(plain, file);
      } else {
        load_tensors(kept, halves, "m", Weights::as_stored, compute);
        load_tensors(plain, halves, "m");
      }
      const auto left = std::ranges::count_if(kept.parameters(), [](const nn::Parameter& p) {
        return p.var.defined() && p.shape.rank() == 2;
      });
      EXPECT_LE(left, 1) << "matrices in f32, beyond learned positions";
      plain.pack(compute);
      kept.pack(compute);
      std::vector<std::int32_t> tokens;
      for (std::int32_t i = 0; i < 24; ++i) tokens.push_back(i * 31 % 97);
      for (const std::size_t count : {1, 24}) {  // widened in the kernel, and before it
        KvCache a(kept.config(), 24, compute), b(plain.config(), 24, compute);
        const auto some = std::span(tokens).first(count);
        const Tensor x = kept.hidden(graph, some, a).value();
        const Tensor y = plain.hidden(graph, some, b).value();
        ASSERT_EQ(0, std::memcmp(x.raw(), y.raw(), x.bytes())) << count;
        const Tensor got = kept.logits(graph, x), expected = plain.logits(graph, y);
        ASSERT_EQ(0, std::memcmp(got.raw(), expected.raw(), got.bytes())) << count;
      }
    }
  }
}

// Only Mistral's window has no place in the file.
TEST_P(GgufModel, SaysWhatIsLost) {
  TransformerConfig config = model_->config();
  config.max_positions = 4096;
  config.window = config.window > 0 ? 64 : 0;
  const auto losses = gguf_losses(config);
  EXPECT_EQ(losses.size(), std::string_view(GetParam()) == "mistral" ? 1 : 0);
  config.window = 4096;
  EXPECT_TRUE(gguf_losses(config).empty());
}

// Llama's kind of tokenizer there and back: the same ids.
TEST(GgufTokenizer, SentencePieceComesBack) {
  const testing::ScratchFolder folder;
  const Json golden =
      read_json(std::filesystem::path(STEPSTONE_SOURCE_DIR) / "tests/golden/subword.json");
  int written = 0;
  for (const auto& [name, one] : golden["tokenizers"].items()) {
    if (!one["tokenizer"]["model"].value("byte_fallback", false)) continue;
    testing::put(folder / "tokenizer.json", one["tokenizer"].dump());
    const Tokenizer tokenizer = Tokenizer::load(folder.path());
    GgufWriter writer;
    try {
      write_gguf_tokenizer(tokenizer, tokenizer.vocab_size() + 3, "", writer);
    } catch (const UsageError&) {
      continue;
    }
    ++written;
    writer.write(folder / "t.gguf");
    const Tokenizer back = read_gguf_tokenizer(GgufFile::open(folder / "t.gguf"));
    EXPECT_EQ(back.vocab_size(), tokenizer.vocab_size()) << name;
    EXPECT_EQ(back.eos(), tokenizer.eos()) << name;
    for (const Json& text : golden["texts"]) {
      EXPECT_EQ(back.encode(text.get<std::string>()), tokenizer.encode(text.get<std::string>()))
          << name << ": " << text;
    }
  }
  EXPECT_GE(written, 1);
}

TEST_P(GgufModel, ADamagedTensorIsNamed) {
  const auto path = write("BF16");
  const GgufFile file = GgufFile::open(path);
  GgufWriter writer;
  for (const auto& [key, value] : file.metadata()) writer.set(key, value);
  const auto copy = [&](const std::string& name, const Shape& shape) {
    writer.add(name, file.info(name).type, shape, [&file, name] {
      const auto bytes = file.data(name);
      return std::vector<std::byte>(bytes.begin(), bytes.end());
    });
  };
  const auto names = file.names();
  for (const std::string& name : names) {
    if (name != "blk.1.ffn_down.weight") copy(name, file.info(name).shape);
  }
  writer.write(folder_ / "short.gguf");
  EXPECT_EQ(testing::format_error_mismatch([&] { load_weights(folder_ / "short.gguf"); },
                                           "blk.1.ffn_down.weight"),
            "");
  const Shape& shape = file.info("blk.1.ffn_down.weight").shape;
  copy("blk.1.ffn_down.weight", {shape.dim(1), shape.dim(0)});
  writer.write(folder_ / "turned.gguf");
  EXPECT_EQ(testing::format_error_mismatch([&] { load_weights(folder_ / "turned.gguf"); },
                                           "blk.1.ffn_down.weight.shape"),
            "");
}

// With all of `file` but what `change` does to the writer afterwards.
void copy_changed(const GgufFile& file, const std::filesystem::path& to,
                  const std::function<void(GgufWriter&)>& change) {
  GgufWriter writer;
  for (const auto& [key, value] : file.metadata()) writer.set(key, value);
  change(writer);
  for (const std::string& name : file.names()) {
    writer.add(name, file.info(name).type, file.info(name).shape, [&file, name] {
      const auto bytes = file.data(name);
      return std::vector<std::byte>(bytes.begin(), bytes.end());
    });
  }
  writer.write(to);
}

// A key that changes what is computed is never passed over.
TEST_P(GgufModel, KeysThatCountAreKnownOrRefused) {
  const auto path = write("F32");
  const GgufFile file = GgufFile::open(path);
  const auto architecture = file.get<std::string>("general.architecture");
  const auto refused = [&](const std::string& key, auto value) {
    const std::string full = architecture + "." + key;
    copy_changed(file, folder_ / "changed.gguf", [&](GgufWriter& w) { w.set(full, value); });
    EXPECT_EQ(testing::format_error_mismatch([&] { load_weights(folder_ / "changed.gguf"); }, full),
              "")
        << full;
  };
  const auto accepted = [&](const std::string& key, auto value) {
    const std::string full = architecture + "." + key;
    copy_changed(file, folder_ / "changed.gguf", [&](GgufWriter& w) { w.set(full, value); });
    EXPECT_NO_THROW(load_weights(folder_ / "changed.gguf")) << full;
  };
  refused("expert_count", std::uint32_t{8});
  accepted("expert_count", std::uint32_t{0});
  accepted("expert_used_count", std::uint32_t{2});
  refused("logit_scale", 0.25f);
  accepted("logit_scale", 1.0f);
  refused("attention.value_length", std::uint32_t{24});
  refused("attention.causal", false);
  refused("attention.max_alibi_bias", 8.0f);
  refused("residual_scale", 0.22f);
  refused("nobody.knows", 1.0f);
  accepted("rope.scaling.finetuned", true);
  if (architecture == "gpt2") return;
  refused("rope.scaling.type", std::string("dynamic"));
  refused("rope.scaling.yarn_attn_factor", 1.5f);
  refused("rope.freq_base", -0.0f);
  refused("rope.freq_base", std::nanf(""));
  refused("rope.dimension_count", std::uint32_t{3});
  refused("attention.value_length_swa", std::uint32_t{24});
  if (architecture.starts_with("gemma")) return;
  refused("attention.scale", 0.3f);
  refused("attn_logit_softcapping", 30.0f);
  refused("final_logit_softcapping", 30.0f);
  accepted("final_logit_softcapping", 0.0f);
  if (architecture == "llama" || architecture == "internlm2") {
    refused("attention.sliding_window", std::uint32_t{8});
    accepted("attention.sliding_window", std::uint32_t{4096});
  }
}

TEST(GgufConfig, ScalingOfRotationIsKept) {
  const testing::ScratchFolder folder;
  const auto golden = std::filesystem::path(STEPSTONE_SOURCE_DIR) / "tests/golden/qwen3";
  auto model = load_weights(golden);
  const auto scaling_of = [&](const std::function<void(GgufWriter&)>& change) {
    GgufWriter writer;
    write_gguf_config(model->config(), writer);
    change(writer);
    add_gguf_tensors(*model, Mixture::named("F32"), writer);
    writer.write(folder / "m.gguf");
    return read_gguf_config(GgufFile::open(folder / "m.gguf")).rope.scaling;
  };
  using Kind = ops::RopeScaling::Kind;
  const auto yarn = scaling_of([](GgufWriter& w) {
    w.set("qwen3.rope.scaling.type", std::string("yarn"));
    w.set("qwen3.rope.scaling.factor", 4.0f);
    w.set("qwen3.rope.scaling.yarn_beta_fast", 16.0f);
  });
  EXPECT_EQ(yarn.kind, Kind::yarn);
  EXPECT_EQ(yarn.factor, 4);
  EXPECT_EQ(yarn.beta_fast, 16);
  EXPECT_EQ(yarn.beta_slow, 1);
  // As llama.cpp reads it: a factor alone is linear, and it had another name.
  for (const char* key : {"qwen3.rope.scaling.factor", "qwen3.rope.scale_linear"}) {
    const auto linear = scaling_of([&](GgufWriter& w) { w.set(key, 2.0f); });
    EXPECT_EQ(linear.kind, Kind::linear) << key;
    EXPECT_EQ(linear.factor, 2) << key;
  }
}

// Refused wherever weights are dequantised: as numbers of the file or as the scale of a block.
TEST_P(GgufModel, ValuesThatAreNoNumbersAreNamed) {
  for (const char* mixture : {"F32", "F16", "Q8_0"}) {
    const auto path = write(mixture);
    const std::string name = "blk.1.ffn_down.weight";
    const GgufFile::Info info = GgufFile::open(path).info(name);
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(static_cast<std::streamoff>(info.begin));
    const std::uint16_t half[] = {0x7e00, 0x7e00};
    const float real = std::nanf("");
    file.write(info.type == BlockType::f32 ? reinterpret_cast<const char*>(&real)
                                           : reinterpret_cast<const char*>(half),
               4);
    file.close();
    const auto message = testing::message_of<FormatError>([&] { load_weights(path); });
    EXPECT_THAT(message, ::testing::HasSubstr(name)) << mixture;
    EXPECT_THAT(message, ::testing::HasSubstr("[0, 0] is nan")) << mixture;
  }
}

INSTANTIATE_TEST_SUITE_P(Models, GgufModel,
                         ::testing::Values("gemma2", "gemma3", "gpt2", "internlm2", "llama",
                                           "llama3-rope", "mistral", "phi3", "qwen2", "qwen3"),
                         [](const auto& info) {
                           std::string name = info.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

TEST(Mixture, PutsBitsWhereTheyCount) {
  const Mixture m = Mixture::named("q4_k_m");
  EXPECT_EQ(m.file_type(), 15u);
  const auto type = [&](TensorKind kind, std::int64_t layer, std::int64_t row = 2048) {
    return m.type_of({.kind = kind, .layer = layer, .layers = 22, .row = row});
  };
  // What llama-quantize does with 22 layers.
  for (std::int64_t layer = 0; layer < 22; ++layer) {
    const bool more = layer < 2 || layer >= 19 || layer % 3 == 1;
    EXPECT_EQ(type(TensorKind::down, layer), more ? BlockType::q6_k : BlockType::q4_k) << layer;
    EXPECT_EQ(type(TensorKind::attention_value, layer), more ? BlockType::q6_k : BlockType::q4_k);
  }
  EXPECT_EQ(type(TensorKind::other_matrix, 0), BlockType::q4_k);
  EXPECT_EQ(type(TensorKind::head, 0), BlockType::q6_k);
  EXPECT_EQ(type(TensorKind::embedding, 0), BlockType::q4_k);
  EXPECT_EQ(type(TensorKind::vector, 0), BlockType::f32);
  EXPECT_EQ(type(TensorKind::other_matrix, 0, 96), BlockType::q5_0);
  EXPECT_EQ(type(TensorKind::down, 0, 96), BlockType::q8_0);
  EXPECT_EQ(type(TensorKind::other_matrix, 0, 48), BlockType::f16);
  EXPECT_THROW(Mixture::named("Q4_K_X"), UsageError);
}

}  // namespace
}  // namespace stepstone
