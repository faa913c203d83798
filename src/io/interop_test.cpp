// Files exchanged with the reference implementations. Needs a Python with safetensors, torch and
// tensorboard, named by the environment variable STEPSTONE_PYTHON.
#include <cstdlib>

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
