#include "io/safetensors.h"

#include <limits>

#include "io/atomic_folder.h"
#include "io/file.h"
#include "io/json.h"
#include "io/test_support.h"

namespace fs = std::filesystem;

namespace stepstone {
namespace {

using testing::format_error_mismatch;
using testing::put;
using testing::ScratchFolder;

template <typename T>
Tensor tensor_of(std::vector<T> values, Shape shape) {
  return Tensor::from(std::span<const T>(values), shape);
}

TensorMap sample() {
  return {{"w", tensor_of<float>({1, -2, 3.5f, 0, 1e-30f, 6}, {2, 3})},
          {"half", tensor_of<bf16>({bf16(1.5f), bf16(-2.0f), bf16(3e38f)}, {3})},
          {"ids", tensor_of<std::int64_t>({-1, 1LL << 40}, {2})},
          {"i", tensor_of<std::int32_t>({7}, {})},
          {"bytes", tensor_of<std::uint8_t>({1, 2, 255}, {3, 1})},
          {"none", Tensor::empty({0, 4}, DType::f32)}};
}

void expect_equal(const TensorMap& a, const TensorMap& b) {
  ASSERT_EQ(a.size(), b.size());
  for (const auto& [name, tensor] : a) {
    ASSERT_TRUE(b.contains(name)) << name;
    const Tensor& other = b.at(name);
    EXPECT_EQ(tensor.dtype(), other.dtype()) << name;
    EXPECT_EQ(tensor.shape(), other.shape()) << name;
    ASSERT_EQ(tensor.bytes(), other.bytes()) << name;
    if (tensor.bytes() > 0) {
      EXPECT_EQ(std::memcmp(tensor.raw(), other.raw(), tensor.bytes()), 0) << name;
    }
  }
}

TensorMap load(const SafetensorsFile& file) {
  TensorMap tensors;
  for (const std::string& name : file.names()) tensors.emplace(name, file.tensor(name));
  return tensors;
}

// A file from its parts, the way no writer would make it.
std::string file_of(const std::string& header, const std::string& data) {
  const std::uint64_t size = header.size();
  return std::string(reinterpret_cast<const char*>(&size), sizeof size) + header + data;
}

TEST(Safetensors, RoundTrip) {
  ScratchFolder folder;
  write_safetensors(folder / "m", sample(), {{"format", "pt"}, {"note", "中文"}});
  const SafetensorsFile file = SafetensorsFile::open(folder / "m");
  expect_equal(load(file), sample());
  EXPECT_EQ(file.metadata().at("note"), "中文");
  EXPECT_EQ(file.info("half").dtype, "BF16");
  EXPECT_EQ(format_error_mismatch([&] { file.tensor("absent"); }, "absent"), "");
  for (const std::string& name : file.names()) {
    EXPECT_EQ(file.info(name).begin % size_of(file.tensor(name).dtype()), 0u) << name;
  }
}

TEST(Safetensors, TensorsOutliveTheFileAndShareItsMemory) {
  ScratchFolder folder;
  const Tensor large = Tensor::zeros({600, 1000}, DType::f32);
  for (int i = 0; i < 600'000; ++i) large.data<float>()[i] = static_cast<float>(i);
  write_safetensors(folder / "m", {{"w", large}});
  Tensor a, b;
  {
    const SafetensorsFile file = SafetensorsFile::open(folder / "m");
    a = file.tensor("w");
    b = file.tensor("w");
  }
  fs::remove(folder / "m");
  EXPECT_EQ(a.raw(), b.raw());
  EXPECT_EQ(a.data<float>()[599'999], 599'999.0f);
}

TEST(Safetensors, WritingToALoadedTensorLeavesTheFile) {
  ScratchFolder folder;
  for (const std::int64_t n : {4, 1'000'000}) {
    write_safetensors(folder / "m", {{"w", Tensor::zeros({n}, DType::f32)}});
    const std::string before = read_file(folder / "m");
    const Tensor w = SafetensorsFile::open(folder / "m").tensor("w");
    w.data<float>()[n - 1] = 5;
    EXPECT_EQ(read_file(folder / "m"), before);
  }
}

TEST(Safetensors, HalfBoolAndMisaligned) {
  ScratchFolder folder;
  // The header has 5 bytes more than a multiple of 4, so that "f" is misaligned.
  std::string header = R"({"h":{"dtype":"F16","shape":[4],"data_offsets":[0,8]},)"
                       R"("f":{"dtype":"F32","shape":[2],"data_offsets":[8,16]},)"
                       R"("b":{"dtype":"BOOL","shape":[2],"data_offsets":[16,18]},)"
                       R"("d":{"dtype":"F64","shape":[],"data_offsets":[18,26]}})";
  while (header.size() % 4 != 1) header += ' ';
  const float values[2] = {1.25f, -8.0f};
  put(folder / "m", file_of(header, std::string("\x00\x3c\x00\xc0\x01\x00\x00\x7c", 8) +
                                        std::string(reinterpret_cast<const char*>(values), 8) +
                                        std::string("\x01\x00", 2) + std::string(8, '\0')));
  const SafetensorsFile file = SafetensorsFile::open(folder / "m");
  const Tensor h = file.tensor("h");
  EXPECT_EQ(h.dtype(), DType::f16);
  const Tensor wide = h.to(DType::f32);
  EXPECT_EQ(wide.data<float>()[0], 1.0f);
  EXPECT_EQ(wide.data<float>()[1], -2.0f);
  EXPECT_EQ(wide.data<float>()[2], 0x1p-24f);
  EXPECT_EQ(wide.data<float>()[3], std::numeric_limits<float>::infinity());
  EXPECT_EQ(file.tensor("f").data<float>()[0], 1.25f);
  EXPECT_EQ(file.tensor("f").data<float>()[1], -8.0f);
  EXPECT_EQ(file.tensor("b").data<std::uint8_t>()[0], 1);
  EXPECT_EQ(format_error_mismatch([&] { file.tensor("d"); }, "d.dtype"), "");
}

TEST(Safetensors, WriterRefusesBadNamesAndTensors) {
  ScratchFolder folder;
  const Tensor one = Tensor::zeros({1}, DType::f32);
  for (const std::string& name :
       {std::string(), std::string("__metadata__"), std::string("a\0b", 3), std::string("\xff"),
        std::string(5000, 'n')}) {
    EXPECT_THROW(write_safetensors(folder / "m", {{name, one}}), UsageError) << name;
  }
  EXPECT_THROW(write_safetensors(folder / "m", {{"w", Tensor()}}), UsageError);
  EXPECT_EQ(folder.listing(), "");
}

TEST(Safetensors, FullDiskKeepsTheOldFile) {
  ScratchFolder folder;
  const auto mount = testing::ScratchMount::create(folder, "size=64k");
  if (!mount) GTEST_SKIP() << "mounting a small file system needs root";
  write_safetensors(folder / "m", sample());
  for (const std::int64_t n : {20'000, 60'000}) {
    const TensorMap large = {{"a", Tensor::zeros({n}, DType::f32)}, {"b", sample().at("w")}};
    EXPECT_THROW(write_safetensors(folder / "m", large), IoError);
    EXPECT_THROW(write_safetensors_folder(folder.path(), large), IoError);
    EXPECT_EQ(folder.listing(), "m");
    expect_equal(load(SafetensorsFile::open(folder / "m")), sample());
  }
}

TEST(Safetensors, TruncatedAtEveryByteAndExtended) {
  ScratchFolder folder;
  write_safetensors(folder / "m", sample());
  const std::string good = read_file(folder / "m");
  for (std::size_t i = 0; i < good.size(); ++i) {
    put(folder / "cut", good.substr(0, i));
    EXPECT_THROW(SafetensorsFile::open(folder / "cut"), FormatError) << "cut at " << i;
  }
  put(folder / "long", good + "x");
  EXPECT_EQ(format_error_mismatch([&] { SafetensorsFile::open(folder / "long"); }, "data"), "");
}

TEST(Safetensors, EveryFlippedHeaderBitIsReadOrRefused) {
  ScratchFolder folder;
  write_safetensors(folder / "m", {{"w", tensor_of<float>({1, 2}, {2})}});
  const std::string good = read_file(folder / "m");
  for (std::size_t bit = 0; bit < 8 * good.size(); ++bit) {
    std::string bad = good;
    bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << (bit % 8)));
    put(folder / "bad", bad);
    try {
      load(SafetensorsFile::open(folder / "bad"));
    } catch (const FormatError&) {
    }
  }
}

TEST(SafetensorsFolder, SingleAndSharded) {
  ScratchFolder folder;
  fs::create_directory(folder / "one");
  write_safetensors_folder(folder / "one", sample());
  write_safetensors_folder(folder / "one", sample());
  expect_equal(load_safetensors_folder(folder / "one"), sample());

  AtomicFolder many(folder / "many");
  write_safetensors_folder(many.path(), sample(), {.max_shard_bytes = 20});
  many.commit();
  verify_folder(folder / "many");
  EXPECT_TRUE(fs::exists(folder / "many/model-00001-of-00003.safetensors"));
  EXPECT_FALSE(fs::exists(folder / "many/model.safetensors"));
  expect_equal(load_safetensors_folder(folder / "many"), sample());
  const Json index = read_json(folder / "many/model.safetensors.index.json");
  EXPECT_EQ(get<int>(index, "/metadata/total_size", "f"), 24 + 6 + 16 + 4 + 3);
  EXPECT_THROW(write_safetensors_folder(folder / "many", sample()), UsageError);
  EXPECT_THROW(write_safetensors_folder(folder / "one", sample(), {.max_shard_bytes = 20}),
               UsageError);
  EXPECT_THROW(load_safetensors_folder(folder / "absent"), IoError);
}

TEST(SafetensorsFolder, BadIndex) {
  ScratchFolder folder;
  const fs::path model = folder / "model";
  fs::create_directory(model);
  const TensorMap tensors = {{"w", Tensor::zeros({2}, DType::f32)}};
  write_safetensors(model / "s.safetensors", tensors);
  write_safetensors(folder / "outside.safetensors", tensors);
  fs::create_symlink(folder / "outside.safetensors", model / "link.safetensors");
  const auto mismatch = [&](const std::string& index, const std::string& field) {
    put(model / "model.safetensors.index.json", index);
    return format_error_mismatch([&] { load_safetensors_folder(model); }, field);
  };
  put(model / "model.safetensors.index.json", R"({"weight_map": {"w": "s.safetensors"}})");
  expect_equal(load_safetensors_folder(model), tensors);
  const std::string absolute = (folder / "outside.safetensors").string();
  for (const std::string& shard :
       {absolute, std::string("../outside.safetensors"), std::string("link.safetensors"),
        std::string("absent.safetensors"), std::string(""), std::string("."),
        std::string("\\u0000")}) {
    EXPECT_EQ(mismatch(R"({"weight_map": {"w": ")" + shard + R"("}})", "weight_map.w"), "")
        << shard;
  }
  EXPECT_EQ(mismatch(R"({"weight_map": {"v": "s.safetensors"}})", "weight_map.v"), "");
  EXPECT_EQ(mismatch(R"({"weight_map": {"w": 1}})", "weight_map.w"), "");
  EXPECT_EQ(mismatch(R"({"weight_map": []})", "weight_map"), "");
  EXPECT_EQ(mismatch(R"({})", "weight_map"), "");
  EXPECT_EQ(mismatch(R"([])", "weight_map"), "");
  EXPECT_EQ(
      mismatch(R"({"weight_map": {"w": "s.safetensors", "w": "s.safetensors"}})", "weight_map.w"),
      "");
  EXPECT_EQ(mismatch("", "JSON"), "");
}

}  // namespace
}  // namespace stepstone
