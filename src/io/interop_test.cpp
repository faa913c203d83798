// Files exchanged with the reference implementations. Needs a Python with safetensors, torch,
// tensorboard and gguf, named by the environment variable STEPSTONE_PYTHON.
#include <cstdlib>

#include "io/gguf.h"
#include "io/gguf_writer.h"
#include "io/safetensors.h"
#include "io/tensorboard.h"
#include "io/test_support.h"

namespace fs = std::filesystem;

namespace stepstone {
namespace {

using testing::ScratchFolder;

class Interop : public ::testing::Test {
 protected:
  void SetUp() override {
    if (std::getenv("STEPSTONE_PYTHON") == nullptr) {
      GTEST_SKIP() << "STEPSTONE_PYTHON does not name a Python with the reference packages";
    }
  }

  static bool run(const std::string& script, const std::string& arguments) {
    const fs::path path = fs::path(STEPSTONE_SOURCE_DIR) / "tests/interop" / script;
    const std::string command = fmt::format(
        "LD_PRELOAD= '{}' '{}' {}", std::getenv("STEPSTONE_PYTHON"), path.string(), arguments);
    return std::system(command.c_str()) == 0;
  }
};

template <typename T>
Tensor tensor_of(std::vector<T> values, Shape shape) {
  return Tensor::from(std::span<const T>(values), shape);
}

// What sample() of safetensors_interop.py makes.
TensorMap sample() {
  std::vector<float> ramp(24);
  for (int i = 0; i < 24; ++i) ramp[static_cast<std::size_t>(i)] = static_cast<float>(i) * 0.5f - 3;
  return {{"f32", tensor_of(ramp, {2, 3, 4})},
          {"bf16", tensor_of(ramp, {4, 6}).to(DType::bf16)},
          {"i32", tensor_of<std::int32_t>({-2, -1, 0, 1, 2}, {5})},
          {"i64", tensor_of<std::int64_t>({-(1LL << 62), 0, 1LL << 62}, {3})},
          {"u8", tensor_of<std::uint8_t>({0, 1, 255}, {3})},
          {"scalar", tensor_of<float>({1.25f}, {})},
          {"empty", Tensor::empty({0, 4}, DType::f32)},
          {"名", tensor_of<float>({1}, {1})}};
}

const SafetensorsMetadata kMetadata = {{"format", "pt"}, {"note", "中文"}};

void expect_equal(const Tensor& a, const Tensor& b, const std::string& name) {
  EXPECT_EQ(a.dtype(), b.dtype()) << name;
  EXPECT_EQ(a.shape(), b.shape()) << name;
  ASSERT_EQ(a.bytes(), b.bytes()) << name;
  EXPECT_TRUE(a.bytes() == 0 || std::memcmp(a.raw(), b.raw(), a.bytes()) == 0) << name;
}

TEST_F(Interop, SafetensorsReadsOurs) {
  ScratchFolder folder;
  write_safetensors(folder / "ours.safetensors", sample(), kMetadata);
  EXPECT_TRUE(run("safetensors_interop.py", "check " + (folder / "ours.safetensors").string()));
  fs::create_directory(folder / "many");
  write_safetensors_folder(folder / "many", sample(),
                           {.max_shard_bytes = 60, .metadata = kMetadata});
  EXPECT_TRUE(run("safetensors_interop.py", "check-folder " + (folder / "many").string()));
}

TEST_F(Interop, WeReadSafetensors) {
  ScratchFolder folder;
  ASSERT_TRUE(run("safetensors_interop.py", "make " + (folder / "theirs.safetensors").string()));
  const SafetensorsFile file = SafetensorsFile::open(folder / "theirs.safetensors");
  EXPECT_EQ(file.metadata(), kMetadata);
  TensorMap expected = sample();
  expected["f16"] = expected.at("f32");
  expected["bool"] = tensor_of<std::uint8_t>({1, 0, 1}, {3});
  EXPECT_EQ(file.names().size(), expected.size());
  for (const auto& [name, tensor] : expected) expect_equal(file.tensor(name), tensor, name);
}

TEST_F(Interop, GgufReadsOurs) {
  ScratchFolder folder;
  GgufWriter writer;
  writer.set("general.architecture", "llama");
  writer.set("true", true);
  writer.set("u32", std::uint32_t{7});
  writer.set("i32", std::int32_t{-7});
  writer.set("u64", std::uint64_t{1} << 63);
  writer.set("f32", 0.25f);
  writer.set("words", std::vector<std::string>{"a", "", "名", "two words"});
  writer.set("ints", std::vector<std::int32_t>{1, -2, 3});
  std::vector<float> ramp(64);
  for (int i = 0; i < 64; ++i) ramp[static_cast<std::size_t>(i)] = static_cast<float>(i) * 0.5f - 3;
  const auto bytes = [](const std::vector<float>& values) {
    const auto span = std::as_bytes(std::span(values));
    return std::vector<std::byte>(span.begin(), span.end());
  };
  writer.add("f32", BlockType::f32, {2, 32}, [&] { return bytes(ramp); });
  writer.add("odd", BlockType::f32, {1}, [&] { return bytes({7}); });
  writer.add("q8_0", BlockType::q8_0, {1, 32}, [] {
    std::vector<std::byte> block(34);
    for (std::size_t i = 0; i < block.size(); ++i) block[i] = static_cast<std::byte>(i);
    return block;
  });
  writer.write(folder / "ours.gguf");
  EXPECT_TRUE(run("gguf_interop.py", "check " + (folder / "ours.gguf").string()));
}

TEST_F(Interop, WeReadGguf) {
  ScratchFolder folder;
  ASSERT_TRUE(run("gguf_interop.py", "make " + (folder / "theirs.gguf").string()));
  const GgufFile file = GgufFile::open(folder / "theirs.gguf");
  EXPECT_EQ(file.get<std::string>("general.architecture"), "llama");
  EXPECT_EQ(file.get<int>("u8"), 200);
  EXPECT_EQ(file.get<int>("i8"), -100);
  EXPECT_EQ(file.get<int>("u16"), 60000);
  EXPECT_EQ(file.get<int>("i16"), -30000);
  EXPECT_EQ(file.get<std::int64_t>("u32"), 4'000'000'000);
  EXPECT_EQ(file.get<std::int64_t>("i32"), -2'000'000'000);
  EXPECT_EQ(file.get<std::int64_t>("u64"), std::int64_t{1} << 62);
  EXPECT_EQ(file.get<std::int64_t>("i64"), -(std::int64_t{1} << 62));
  EXPECT_EQ(file.get<float>("f32"), 0.5f);
  EXPECT_EQ(file.get<double>("f64"), 0.1);
  EXPECT_TRUE(file.get<bool>("bool"));
  EXPECT_EQ(file.get<std::string>("string"), "中文");
  EXPECT_EQ(file.get<std::vector<std::string>>("words"),
            (std::vector<std::string>{"a", "", "名", "two words"}));
  EXPECT_EQ(file.get<std::vector<int>>("ints"), (std::vector<int>{1, -2, 3}));
  EXPECT_EQ(file.get<std::vector<float>>("floats"), (std::vector<float>{0.5f, -1}));
  EXPECT_EQ(file.tensor("f32").shape(), Shape({2, 32}));
  for (const char* name : {"f32", "f16"}) {
    const Tensor t = file.tensor(name);
    for (int i = 0; i < 64; ++i) EXPECT_EQ(t.data<float>()[i], static_cast<float>(i) * 0.5f - 3);
  }
  EXPECT_EQ(file.info("q8_0").shape, Shape({1, 32}));
  EXPECT_EQ(file.tensor("q8_0").data<float>()[31], 15.5f);
}

TEST_F(Interop, TensorBoardReadsOurs) {
  ScratchFolder folder;
  {
    TensorBoardWriter first(folder.path());
    for (int step = 0; step < 10; ++step) {
      first.scalar("train/loss", step, static_cast<float>(step) + 0.5f);
    }
  }
  TensorBoardWriter resumed(folder.path(), 5);
  for (int step = 5; step < 8; ++step) {
    const TensorBoardWriter::Scalar both[] = {{"train/loss", static_cast<float>(step) + 100},
                                              {"train/lr", 0.1f}};
    resumed.scalars(step, both);
  }
  resumed.text("sample", 7, "**Once** 中文");
  EXPECT_TRUE(run("tensorboard_interop.py", folder.path().string()));
}

}  // namespace
}  // namespace stepstone
