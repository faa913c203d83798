// A GGUF file: everything that its metadata and tensors are asked for.
#include "core/error.h"
#include "fuzz.h"
#include "io/gguf.h"
#include "io/gguf_writer.h"

using namespace stepstone;

namespace {

void ask_all(const GgufFile& file) {
  for (const auto& entry : file.metadata()) {
    const std::string& key = entry.first;
    const auto ask = [&](auto sample) {
      try {
        (void)file.get<decltype(sample)>(key);
      } catch (const Error&) {
      }
    };
    ask(std::string());
    ask(std::vector<std::string>());
    ask(false);
    ask(std::int32_t{});
    ask(std::uint64_t{});
    ask(std::vector<std::int64_t>());
    ask(std::vector<float>());
  }
  for (const std::string& name : file.names()) {
    try {
      if (file.info(name).shape.numel() < 1 << 20) (void)file.tensor(name);
    } catch (const Error&) {
    }
  }
}

std::string seed(BlockType type, std::int64_t cols) {
  GgufWriter writer;
  writer.set("general.architecture", "llama");
  writer.set("llama.block_count", std::uint32_t{2});
  writer.set("llama.rope.freq_base", 1e4f);
  writer.set("tokenizer.ggml.tokens", std::vector<std::string>{"a", "b", "<s>"});
  writer.set("tokenizer.ggml.scores", std::vector<float>{0, -1, -2});
  writer.set("flag", true);
  const Shape shape{2, cols};
  const auto bytes = bytes_of(type, static_cast<std::uint64_t>(2 * cols));
  writer.add("token_embd.weight", type, shape, [bytes] { return std::vector<std::byte>(bytes); });
  writer.add("blk.0.attn_norm.weight", BlockType::f32, {4},
             [] { return std::vector<std::byte>(16); });
  return fuzz::written([&](const auto& path) { writer.write(path); });
}

}  // namespace

std::vector<std::string> fuzz::seeds() {
  return {seed(BlockType::f32, 4), seed(BlockType::f16, 4), seed(BlockType::q8_0, 32),
          seed(BlockType::q4_k, 256)};
}

std::vector<std::string> fuzz::words() {
  return {"general.alignment", std::string("\x20\0\0\0", 4), std::string("\x09\0\0\0", 4),
          std::string("\x08\0\0\0", 4)};
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const fuzz::MemoryFile bytes(fuzz::view(data, size));
  try {
    ask_all(GgufFile::open(bytes.path()));
  } catch (const Error&) {
  }
  return 0;
}
