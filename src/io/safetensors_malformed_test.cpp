// Malformed safetensors files, each with the field that the error must name.
#include <limits>
#include <set>
#include <string>
#include <vector>

#include "io/safetensors.h"
#include "io/test_support.h"

namespace stepstone {
namespace {

using testing::format_error_mismatch;
using testing::put;
using testing::ScratchFolder;

struct BadFile {
  std::string what;
  std::string bytes;
  std::string field;
};

std::string with_size(std::uint64_t size, const std::string& rest) {
  return std::string(reinterpret_cast<const char*>(&size), sizeof size) + rest;
}

std::string file_of(const std::string& header, std::size_t data_bytes) {
  return with_size(header.size(), header + std::string(data_bytes, '\0'));
}

// The good file that the variants spoil: a is f32 [2, 3], b is bf16 [4]; 32 bytes of data.
constexpr const char* kA = R"("a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]})";
constexpr const char* kB = R"("b":{"dtype":"BF16","shape":[4],"data_offsets":[24,32]})";
constexpr const char* kMeta = R"("__metadata__":{"format":"pt"})";
constexpr std::size_t kData = 32;

std::string header_of(const std::string& a, const std::string& b = kB,
                      const std::string& metadata = kMeta) {
  return "{" + metadata + "," + a + "," + b + "}";
}

std::string entry(const std::string& dtype, const std::string& shape, const std::string& offsets) {
  return R"("a":{"dtype":)" + dtype + R"(,"shape":)" + shape + R"(,"data_offsets":)" + offsets +
         "}";
}

void add_bad_sizes(std::vector<BadFile>& bad) {
  const std::string header = header_of(kA);
  const std::string rest = header + std::string(kData, '\0');
  for (std::size_t n = 0; n < 8; ++n) {
    bad.push_back({fmt::format("{} bytes", n), std::string(n, '\1'), "header size"});
  }
  for (int bit = 9; bit < 64; ++bit) {
    bad.push_back({fmt::format("header size 2^{}", bit), with_size(std::uint64_t{1} << bit, rest),
                   "header size"});
  }
  for (const std::uint64_t size :
       {rest.size() + 1, std::size_t{100'000'001}, std::numeric_limits<std::size_t>::max(),
        std::numeric_limits<std::size_t>::max() - 7}) {
    bad.push_back({fmt::format("header size {}", size), with_size(size, rest), "header size"});
  }
  bad.push_back({"header size 0", with_size(0, rest), "header"});
  bad.push_back({"header size one short", with_size(header.size() - 1, rest), "header"});
  bad.push_back({"header size one long", with_size(header.size() + 1, rest), "header"});
  bad.push_back(
      {"big-endian header size", with_size(__builtin_bswap64(header.size()), rest), "header size"});
  bad.push_back({"Git LFS pointer",
                 "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n",
                 "header size"});
}

void add_bad_json(std::vector<BadFile>& bad) {
  const auto add = [&](const std::string& what, const std::string& header) {
    bad.push_back({what, file_of(header, kData), "header"});
  };
  const std::string good = header_of(kA);
  for (const char* text : {"[]", "null", "1", "\"x\"", " {}", "\n{}", "\xef\xbb\xbf{}", "}"}) {
    add(fmt::format("header {}", text), text);
  }
  for (std::size_t i = 1; i < good.size(); i += 7) {
    add(fmt::format("header text cut at {}", i), good.substr(0, i));
  }
  add("text after the object", good + "x");
  add("two objects", good + good);
  add("NUL padding", good + std::string(3, '\0'));
  add("NUL, then another object", good + std::string(1, '\0') + good);
  add("trailing comma", "{" + std::string(kA) + "," + kB + ",}");
  add("comment", "{/* x */" + std::string(kA) + "," + kB + "}");
  add("single quotes", "{'a':1}");
  add("duplicate tensor", header_of(kA, std::string(kB) + "," + kA));
  add("duplicate tensor, escaped", header_of(kA, std::string(kB) + R"(,"\u0061":{})"));
  add("duplicate metadata", header_of(kA, std::string(kB) + "," + kMeta));
  add("duplicate metadata key",
      header_of(kA, kB, R"("__metadata__":{"format":"pt","format":"np"})"));
  add("duplicate dtype", header_of(R"("a":{"dtype":"F32","dtype":"F32","shape":[2,3],)"
                                   R"("data_offsets":[0,24]})"));
  add("duplicate shape", header_of(R"("a":{"dtype":"F32","shape":[2,3],"shape":[6],)"
                                   R"("data_offsets":[0,24]})"));
  add("duplicate offsets", header_of(R"("a":{"dtype":"F32","shape":[2,3],)"
                                     R"("data_offsets":[0,24],"data_offsets":[0,24]})"));
  for (const char* text : {"\xff", "\xc0\x80", "\xed\xa0\x80", "\xf8\x88\x80\x80\x80", "\xe4\xb8",
                           "\\ud800", "\\x41", "\x01", "\n"}) {
    add("name that is not UTF-8 or JSON", header_of(kA, R"(")" + std::string(text) + R"(":{})"));
  }
  add("empty name", header_of(kA, R"("":{"dtype":"U8","shape":[8],"data_offsets":[24,32]})"));
  add("NUL in a name",
      header_of(kA, R"("b\u0000":{"dtype":"U8","shape":[8],"data_offsets":[24,32]})"));
  add("over-long name",
      header_of(kA, "\"" + std::string(5000, 'n') +
                        R"(":{"dtype":"U8","shape":[8],"data_offsets":[24,32]})"));
  for (const int depth : {9, 100, 1'000'000}) {
    add(fmt::format("nested {} deep", depth),
        "{\"a\":" + std::string(static_cast<std::size_t>(depth), '[') +
            std::string(static_cast<std::size_t>(depth), ']') + "}");
  }
  add("NaN", header_of(entry("\"F32\"", "[NaN]", "[0,24]")));
  add("number beyond double", header_of(entry("\"F32\"", "[1e999]", "[0,24]")));
  add("leading zero", header_of(entry("\"F32\"", "[02,3]", "[0,24]")));
  add("hexadecimal", header_of(entry("\"F32\"", "[0x2,3]", "[0,24]")));
}

void add_bad_metadata(std::vector<BadFile>& bad) {
  for (const char* value :
       {"null", "1", "\"pt\"", "[]", "[\"a\",\"b\"]", "{\"format\":1}", "{\"format\":null}",
        "{\"format\":{}}", "{\"format\":[\"pt\"]}", "{\"a\":\"x\",\"b\":true}", "{\"a\":1.5}"}) {
    bad.push_back({fmt::format("metadata {}", value),
                   file_of(header_of(kA, kB, R"("__metadata__":)" + std::string(value)), kData),
                   "__metadata__"});
  }
}

void add_bad_entries(std::vector<BadFile>& bad) {
  const auto add = [&](const std::string& a, const std::string& field) {
    bad.push_back({a, file_of(header_of(a), kData), field});
  };
  for (const char* value : {"null", "1", "\"F32\"", "[]", "true", "-1", "1.5"}) {
    add(R"("a":)" + std::string(value), "a");
  }
  add(R"("a":{})", "a.dtype");
  add(R"("a":{"shape":[2,3],"data_offsets":[0,24]})", "a.dtype");
  add(R"("a":{"dtype":"F32","data_offsets":[0,24]})", "a.shape");
  add(R"("a":{"dtype":"F32","shape":[2,3]})", "a.data_offsets");
  add(R"("a":{"dtype":"F32","shape":[2,3],"offsets":[0,24]})", "a.data_offsets");
  for (const char* dtype : {"null", "4", "[]", "{}", "true", "\"\"", "\"f32\"", "\"F32 \"",
                            "\"F33\"", "\"float32\"", "\"Q4_0\"", "\"F32\\u0000\"", "\"F128\""}) {
    add(entry(dtype, "[2,3]", "[0,24]"), "a.dtype");
  }
  for (const char* shape : {"null",
                            "6",
                            "\"2,3\"",
                            "{}",
                            "[-2,3]",
                            "[2,-3]",
                            "[-2,-3]",
                            "[2.0,3]",
                            "[2,3.5]",
                            "[2e0,3]",
                            "[\"2\",3]",
                            "[null]",
                            "[[2,3]]",
                            "[true,6]",
                            "[9007199254740993]",
                            "[18446744073709551615]",
                            "[18446744073709551616]",
                            "[-9223372036854775808]",
                            "[1,1,1,1,1,2,3]",
                            "[4294967296,4294967296]",
                            "[4294967296,2147483648]",
                            "[9007199254740992,9007199254740992,2]",
                            "[3037000500,3037000500]",
                            "[2305843009213693952]"}) {
    add(entry("\"F32\"", shape, "[0,24]"), "a.shape");
  }
  for (const char* offsets : {"null",
                              "24",
                              "\"0,24\"",
                              "{}",
                              "[]",
                              "[0]",
                              "[24]",
                              "[0,24,32]",
                              "[0,0,24]",
                              "[-1,24]",
                              "[0,-24]",
                              "[-24,-1]",
                              "[0.0,24]",
                              "[0,24.0]",
                              "[0,2.4e1]",
                              "[\"0\",24]",
                              "[null,24]",
                              "[0,[24]]",
                              "[24,0]",
                              "[25,24]",
                              "[0,23]",
                              "[0,25]",
                              "[1,24]",
                              "[0,33]",
                              "[8,33]",
                              "[16,40]",
                              "[32,56]",
                              "[0,9007199254740992]",
                              "[9007199254740992,9007199254740992]",
                              "[0,9007199254740993]",
                              "[0,18446744073709551615]",
                              "[18446744073709551592,24]",
                              "[18446744073709551615,18446744073709551615]",
                              "[4294967296,4294967320]"}) {
    add(entry("\"F32\"", "[2,3]", offsets), "a.data_offsets");
  }
  // Size and shape do not agree.
  for (const char* shape : {"[]", "[0]", "[2,3,0]", "[2,4]", "[1,3]", "[7]", "[1000000000]",
                            "[2147483647,1073741823]", "[9007199254740991]"}) {
    add(entry("\"F32\"", shape, "[0,24]"), "a.data_offsets");
  }
  for (const char* dtype : {"F64", "I64", "U64", "BF16", "F16", "I16", "U8", "BOOL", "F8_E4M3"}) {
    add(entry("\"" + std::string(dtype) + "\"", "[2,3]", "[0,24]"), "a.data_offsets");
  }
}

void add_bad_cover(std::vector<BadFile>& bad) {
  const auto add = [&](const std::string& what, const std::string& header, std::size_t data,
                       const std::string& field) {
    bad.push_back({what, file_of(header, data), field});
  };
  const auto b = [](int begin, int end) {
    return fmt::format(R"("b":{{"dtype":"U8","shape":[{}],"data_offsets":[{},{}]}})", end - begin,
                       begin, end);
  };
  for (const int begin : {0, 1, 8, 23}) {
    add(fmt::format("b overlaps a from {}", begin), header_of(kA, b(begin, 32)), kData,
        "b.data_offsets");
  }
  for (const int begin : {25, 28, 31, 32}) {
    add(fmt::format("gap before b at {}", begin), header_of(kA, b(begin, 32)), kData,
        "b.data_offsets");
  }
  add("b equal to a", header_of(kA, b(0, 24)), 24, "b.data_offsets");
  add("gap at the start", "{" + b(8, 32) + "}", kData, "b.data_offsets");
  add("empty tensor in a gap", header_of(b(32, 32), entry("\"F32\"", "[2,3]", "[0,24]")), kData,
      "b.data_offsets");
  for (const std::size_t extra : {std::size_t{1}, std::size_t{8}, std::size_t{1000}}) {
    add(fmt::format("{} bytes after the last tensor", extra), header_of(kA), kData + extra, "data");
  }
  add("data without tensors", "{}", 1, "data");
  add("data without tensors, with metadata", "{" + std::string(kMeta) + "}", 64, "data");
  for (std::size_t missing = 1; missing <= 8; ++missing) {
    add(fmt::format("{} bytes of data missing", missing), header_of(kA), kData - missing,
        "b.data_offsets");
  }
}

TEST(SafetensorsMalformed, EachIsRefusedForItsReason) {
  std::vector<BadFile> bad;
  add_bad_sizes(bad);
  add_bad_json(bad);
  add_bad_metadata(bad);
  add_bad_entries(bad);
  add_bad_cover(bad);
  std::set<std::string> distinct;
  ScratchFolder folder;
  for (const BadFile& file : bad) {
    distinct.insert(file.bytes);
    put(folder / "m", file.bytes);
    EXPECT_EQ(format_error_mismatch([&] { SafetensorsFile::open(folder / "m"); }, file.field), "")
        << file.what;
  }
  EXPECT_GE(distinct.size(), 220u);
  RecordProperty("files", static_cast<int>(distinct.size()));
}

TEST(SafetensorsMalformed, NeighbouringGoodFilesAreRead) {
  ScratchFolder folder;
  const auto accepts = [&](const std::string& header, std::size_t data) {
    put(folder / "m", file_of(header, data));
    EXPECT_NO_THROW(SafetensorsFile::open(folder / "m")) << header;
  };
  accepts(header_of(kA), kData);
  accepts(header_of(kB, kA), kData);
  accepts(header_of(kA) + "   \n", kData);
  accepts("{}", 0);
  accepts("{" + std::string(kMeta) + "}", 0);
  accepts(header_of(kA, kB, R"("__metadata__":{})"), kData);
  accepts(header_of(entry("\"F32\"", "[6]", "[0,24]")), kData);
  accepts(header_of(entry("\"I64\"", "[1,3,1]", "[0,24]")), kData);
  accepts(R"({"s":{"dtype":"F64","shape":[],"data_offsets":[0,8]}})", 8);
  accepts(R"({"e":{"dtype":"F32","shape":[0,5],"data_offsets":[0,0]}})", 0);
  accepts(header_of(kA, std::string(kB) + R"(,"e":{"dtype":"U8","shape":[0],)"
                                          R"("data_offsets":[24,24]})"),
          kData);
  accepts(R"({"\u4e2d\ud83d\ude00":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})", 1);
  accepts(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1],"note":"later"}})", 1);
}

}  // namespace
}  // namespace stepstone
