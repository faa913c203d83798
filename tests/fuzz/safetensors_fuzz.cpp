// A safetensors file: every tensor of it.
#include "core/error.h"
#include "fuzz.h"
#include "io/safetensors.h"

using namespace stepstone;

std::vector<std::string> fuzz::seeds() {
  TensorMap tensors;
  tensors["weight"] = Tensor::zeros({2, 3}, DType::f32);
  tensors["ids"] = Tensor::zeros({4}, DType::i64);
  tensors["bits"] = Tensor::zeros({5}, DType::u8);
  tensors["half"] = Tensor::zeros({1, 2, 3}, DType::bf16);
  std::string small(R"(________{"a":{"dtype":"F16","shape":[2],"data_offsets":[0,4]}}xxxx)");
  const std::string length{static_cast<char>(small.size() - 12), 0, 0, 0, 0, 0, 0, 0};
  small.replace(0, 8, length);
  return {fuzz::written([&](const auto& path) { write_safetensors(path, tensors); }), small};
}

std::vector<std::string> fuzz::words() {
  return {"\"__metadata__\"",
          "\"dtype\":",
          "\"shape\":",
          "\"data_offsets\":",
          "[0,0]",
          "\"F16\"",
          "\"BOOL\"",
          "18446744073709551615",
          "9223372036854775808",
          "-1",
          "1e3",
          "{",
          "}",
          "[",
          "]",
          ",",
          "null"};
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const fuzz::MemoryFile bytes(fuzz::view(data, size));
  try {
    const SafetensorsFile file = SafetensorsFile::open(bytes.path());
    for (const std::string& name : file.names()) {
      try {
        (void)file.tensor(name);
      } catch (const Error&) {
      }
    }
  } catch (const Error&) {
  }
  return 0;
}
