// Malformed GGUF files, each with the field that the error must name.
#include <limits>
#include <set>
#include <string>
#include <vector>

#include "io/gguf.h"
#include "io/test_support.h"

namespace stepstone {
namespace {

using testing::format_error_mismatch;
using testing::put;
using testing::ScratchFolder;

template <typename T>
std::string le(T value) {
  return {reinterpret_cast<const char*>(&value), sizeof value};
}
std::string u32(std::uint32_t v) { return le(v); }
std::string u64(std::uint64_t v) { return le(v); }
std::string text(const std::string& s) { return u64(s.size()) + s; }

// A file as the list of its fields: what the error must say when one cannot be read.
struct Field {
  std::string id;     // to find it by
  std::string error;  // the field that errors name
  std::string bytes;
};

class File {
 public:
  void add(std::string id, std::string error, std::string bytes) {
    fields_.push_back({std::move(id), std::move(error), std::move(bytes)});
  }
  File with(const std::string& id, const std::string& bytes) const {
    File copy = *this;
    for (Field& f : copy.fields_) {
      if (f.id == id) {
        f.bytes = bytes;
        return copy;
      }
    }
    ADD_FAILURE() << "no field " << id;
    return copy;
  }
  std::string bytes() const {
    std::string all;
    for (const Field& f : fields_) {
      all += f.bytes;
      if (f.id == "b offset") all.append((32 - all.size() % 32) % 32, '\0');
    }
    return all;
  }
  const std::vector<Field>& fields() const { return fields_; }

 private:
  std::vector<Field> fields_;
};

constexpr std::uint64_t kTensors = 2, kPairs = 8;

// a: f32 [2, 8], 64 bytes; b: Q8_0 [1, 32], 34 bytes and 30 of padding.
File good() {
  File f;
  f.add("magic", "magic", "GGUF");
  f.add("version", "version", u32(3));
  f.add("tensors", "tensor count", u64(kTensors));
  f.add("pairs", "metadata count", u64(kPairs));
  const auto pair = [&](const std::string& key, std::uint32_t type, const std::string& value) {
    f.add(key + " key", fmt::format("metadata {}", (f.fields().size() - 4) / 3), text(key));
    f.add(key + " type", key, u32(type));
    f.add(key, key, value);
  };
  pair("general.alignment", 4, u32(32));
  pair("general.architecture", 8, text("llama"));
  pair("u8", 0, le<std::uint8_t>(7));
  pair("f32", 6, le(0.5f));
  pair("bool", 7, le<std::uint8_t>(1));
  pair("f64", 12, le(0.25));
  pair("words", 9, u32(8) + u64(3) + text("x") + text("") + text("yz"));
  pair("ints", 9, u32(5) + u64(3) + le(1) + le(-2) + le(3));
  f.add("a name", "tensor 0", text("a"));
  f.add("a rank", "a.dimensions", u32(2));
  f.add("a shape", "a.shape", u64(8) + u64(2));
  f.add("a type", "a.type", u32(0));
  f.add("a offset", "a.offset", u64(0));
  f.add("b name", "tensor 1", text("b"));
  f.add("b rank", "b.dimensions", u32(2));
  f.add("b shape", "b.shape", u64(32) + u64(1));
  f.add("b type", "b.type", u32(8));
  f.add("b offset", "b.offset", u64(64));
  f.add("a data", "a.offset", std::string(64, '\1'));
  f.add("b data", "b.offset", std::string(34, '\2'));
  f.add("end", "", std::string(30, '\0'));
  return f;
}

struct BadFile {
  std::string what, bytes, field;
};

class Bad {
 public:
  void replace(const std::string& id, const std::string& bytes, const std::string& field) {
    files.push_back({fmt::format("{} replaced", id), good().with(id, bytes).bytes(), field});
  }
  std::vector<BadFile> files;
};

// At every byte before the last tensor's end. A short file shows first in the counts.
void add_truncations(Bad& bad) {
  const File file = good();
  const std::string bytes = file.bytes();
  std::size_t begin = 0;
  for (const Field& f : file.fields()) {
    if (f.id == "a data") begin = (begin + 31) / 32 * 32;
    for (std::size_t cut = begin; cut < begin + f.bytes.size() && !f.error.empty(); ++cut) {
      std::string field = f.error;
      if (cut >= 16 && (cut - 16) / 32 < kTensors) {
        field = "tensor count";
      } else if (cut >= 24 && (cut - 24) / 13 < kPairs) {
        field = "metadata count";
      }
      bad.files.push_back({fmt::format("cut at {}", cut), bytes.substr(0, cut), field});
    }
    begin += f.bytes.size();
  }
}

void add_preambles(Bad& bad) {
  for (const char* magic : {"GGML", "gguf", "FUGG", "GGUE", "PK\3\4"}) {
    bad.replace("magic", magic, "magic");
  }
  bad.files.push_back(
      {"LFS", "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n", "magic"});
  for (const std::uint32_t version : {0u, 1u, 4u, 99u, 0x03000000u, 0x02000000u, ~0u}) {
    bad.replace("version", u32(version), "version");
  }
  for (int bit = 6; bit < 64; ++bit) {
    bad.replace("tensors", u64(std::uint64_t{1} << bit), "tensor count");
    bad.replace("pairs", u64(std::uint64_t{1} << bit), "metadata count");
  }
  bad.replace("tensors", u64(~std::uint64_t{0}), "tensor count");
  bad.replace("pairs", u64(~std::uint64_t{0}), "metadata count");
  // The table then begins where metadata stands, or the reverse.
  bad.replace("pairs", u64(kPairs + 1), "tensor 0");
  bad.replace("tensors", u64(kTensors + 1), "tensor 2");
  bad.replace("tensors", u64(kTensors - 1), "data");
  bad.replace("tensors", u64(0), "data");
}

// Lengths of a string field whose text is `size` bytes.
std::vector<std::uint64_t> absurd_lengths() {
  std::vector<std::uint64_t> lengths = {~std::uint64_t{0}, ~std::uint64_t{7}};
  for (int bit = 10; bit < 64; ++bit) lengths.push_back(std::uint64_t{1} << bit);
  return lengths;
}

void add_names(Bad& bad) {
  for (const std::uint64_t length : absurd_lengths()) {
    bad.replace("u8 key", u64(length) + "u8", "metadata 2");
    bad.replace("a name", u64(length) + "a", "tensor 0");
  }
  for (const std::string& name :
       {std::string(), std::string("\xff"), std::string("x\0", 2), std::string("\xc0\x80"),
        std::string("\xed\xa0\x80"), std::string("\xe4\xb8")}) {
    bad.replace("f32 key", text(name), "metadata 3");
    bad.replace("b name", text(name), "tensor 1");
  }
  bad.replace("f32 key", text(std::string(65536, 'k')), "metadata 3");
  bad.replace("b name", text(std::string(64, 'n')), "tensor 1");
  bad.replace("f32 key", text("u8"), "u8");
  bad.replace("b name", text("a"), "a");
}

void add_values(Bad& bad) {
  for (const char* key : {"u8", "bool", "words", "ints", "general.architecture"}) {
    for (const std::uint32_t type : {13u, 14u, 100u, 0x80000000u, ~0u}) {
      bad.replace(std::string(key) + " type", u32(type), key);
    }
  }
  for (const int value : {2, 3, 127, 255}) {
    bad.replace("bool", le(static_cast<std::uint8_t>(value)), "bool");
  }
  for (const std::uint64_t length : absurd_lengths()) {
    bad.replace("general.architecture", u64(length) + "llama", "general.architecture");
    bad.replace("words", u32(8) + u64(length) + text("x"), "words");
    bad.replace("words", u32(8) + u64(2) + text("x") + u64(length) + "y", "words");
    bad.replace("ints", u32(5) + u64(length) + le(1), "ints");
    bad.replace("ints", u32(10) + u64(length) + u64(1), "ints");
  }
  bad.replace("ints", u32(9) + u64(1) + u32(5) + u64(1) + le(1), "ints");
  bad.replace("ints", u32(9) + u64(0), "ints");
  for (const std::uint32_t type : {13u, 200u, ~0u}) {
    bad.replace("ints", u32(type) + u64(1) + le(1), "ints");
  }
  bad.replace("ints", u32(7) + u64(3) + std::string("\0\1\2", 3), "ints");
}

void add_alignments(Bad& bad) {
  for (const std::uint32_t value : {0u, 3u, 12u, 31u, 33u, 1u << 21, 1u << 31, ~0u}) {
    bad.replace("general.alignment", u32(value), "general.alignment");
  }
  const auto typed = [&](std::uint32_t type, const std::string& value) {
    bad.files.push_back(
        {fmt::format("alignment of type {}", type),
         good().with("general.alignment type", u32(type)).with("general.alignment", value).bytes(),
         "general.alignment"});
  };
  typed(5, u32(32));
  typed(6, le(32.0f));
  typed(8, text("32"));
  typed(9, u32(4) + u64(1) + u32(32));
  typed(10, u64(32));
  bad.replace("general.alignment", u32(128), "b.offset");
}

void add_shapes(Bad& bad) {
  for (const std::uint32_t rank : {0u, 5u, 6u, 255u, 0x7fffffffu, 0x80000000u, ~0u}) {
    bad.replace("a rank", u32(rank), "a.dimensions");
    bad.replace("b rank", u32(rank), "b.dimensions");
  }
  const std::uint64_t max = std::numeric_limits<std::int64_t>::max();
  for (const std::string& shape :
       {u64(0) + u64(2), u64(8) + u64(0), u64(~std::uint64_t{0}) + u64(2),
        u64(8) + u64(std::uint64_t{1} << 63), u64(std::uint64_t{1} << 32) + u64(1ull << 32),
        u64(1ull << 31) + u64(1ull << 32), u64(max) + u64(max), u64(max) + u64(2),
        u64(3037000500) + u64(3037000500)}) {
    bad.replace("a shape", shape, "a.shape");
  }
  for (const std::uint64_t row : {1, 16, 31, 33, 63, 100}) {
    bad.replace("b shape", u64(row) + u64(1), "b.shape");
  }
  for (const std::uint32_t type : {10u, 11u, 12u, 13u, 14u}) {  // blocks of 256
    bad.replace("b type", u32(type), "b.shape");
  }
  for (const std::uint32_t type : {4u, 5u, 9u, 15u, 16u, 31u, 32u, 33u, 36u, 41u, 1000u, ~0u}) {
    bad.replace("a type", u32(type), "a.type");
    bad.replace("b type", u32(type), "b.type");
  }
}

void add_places(Bad& bad) {
  for (const std::uint64_t offset :
       {std::uint64_t{1}, std::uint64_t{16}, std::uint64_t{32}, std::uint64_t{64},
        std::uint64_t{1} << 40, ~std::uint64_t{0}, ~std::uint64_t{31}}) {
    bad.replace("a offset", u64(offset), "a.offset");
  }
  for (const std::uint64_t offset :
       {std::uint64_t{0}, std::uint64_t{32}, std::uint64_t{63}, std::uint64_t{65},
        std::uint64_t{96}, std::uint64_t{1} << 40, ~std::uint64_t{0}, ~std::uint64_t{63}}) {
    bad.replace("b offset", u64(offset), "b.offset");
  }
  // Sizes that reach past the data, or into the next tensor.
  for (const std::uint64_t rows : {1ull << 20, 1ull << 40, 1ull << 55}) {
    bad.replace("b shape", u64(32) + u64(rows), "b.offset");
    bad.replace("a shape", u64(8) + u64(rows), "a.offset");
  }
  bad.replace("b shape", u64(32) + u64(2), "b.offset");
  bad.replace("a shape", u64(8) + u64(3), "b.offset");
  bad.replace("a shape", u64(8) + u64(1), "b.offset");
  bad.replace("a type", u32(1), "b.offset");
  bad.replace("a type", u32(28), "b.offset");
  for (const std::size_t extra : {31, 32, 64, 1000}) {
    bad.replace("end", std::string(extra, '\0'), "data");
  }
}

TEST(GgufMalformed, EachIsRefusedForItsReason) {
  Bad bad;
  add_truncations(bad);
  add_preambles(bad);
  add_names(bad);
  add_values(bad);
  add_alignments(bad);
  add_shapes(bad);
  add_places(bad);
  std::set<std::string> distinct;
  ScratchFolder folder;
  for (const BadFile& file : bad.files) {
    distinct.insert(file.bytes);
    put(folder / "m", file.bytes);
    EXPECT_EQ(format_error_mismatch([&] { GgufFile::open(folder / "m"); }, file.field), "")
        << file.what;
  }
  EXPECT_GE(distinct.size(), 900u);
  RecordProperty("files", static_cast<int>(distinct.size()));
}

// Every bit of the file flipped alone: it is refused, or all of it can be read.
TEST(GgufMalformed, FlippedBitsAreRefusedOrRead) {
  const std::string bytes = good().bytes();
  ScratchFolder folder;
  int refused = 0;
  for (std::size_t bit = 0; bit < 8 * (bytes.size() - 128); ++bit) {
    std::string flipped = bytes;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << (bit % 8)));
    put(folder / "m", flipped);
    try {
      const GgufFile file = GgufFile::open(folder / "m");
      for (const auto& [key, value] : file.metadata()) {
        if (value.array && value.kind == GgufKind::string) file.strings(key);
      }
      for (const std::string& name : file.names()) file.tensor(name);
    } catch (const FormatError&) {
      ++refused;
    }
  }
  EXPECT_GT(refused, 1000);
}

TEST(GgufMalformed, NeighbouringGoodFilesAreRead) {
  ScratchFolder folder;
  const auto accepts = [&](const File& file) {
    put(folder / "m", file.bytes());
    EXPECT_NO_THROW(GgufFile::open(folder / "m"));
  };
  accepts(good());
  accepts(good().with("version", u32(2)));
  accepts(good().with("end", ""));
  accepts(good().with("a shape", u64(2) + u64(8)));
  accepts(good().with("a rank", u32(1)).with("a shape", u64(16)));
  accepts(good().with("ints", u32(5) + u64(0)));
  accepts(good().with("words", u32(8) + u64(0)));
  accepts(good().with("b name", text(std::string(63, 'n'))));
}

}  // namespace
}  // namespace stepstone
