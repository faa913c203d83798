#include "data/readers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/error.h"
#include "core/random.h"
#include "data/utf8.h"
#include "io/compress.h"
#include "io/test_support.h"

namespace stepstone {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::message_of;
using ::testing::Not;
using testing::put;
using testing::ScratchFolder;

std::vector<std::string> texts(const std::filesystem::path& path,
                               const ReaderOptions& options = {}) {
  DocumentReader reader({path}, options);
  std::vector<std::string> out;
  for (Document document; reader.next(document);) out.push_back(document.text);
  return out;
}

void pack(const std::filesystem::path& path, const std::string& text) {
  const auto out = open_output(path);
  out->write(text);
  out->commit();
}

TEST(Readers, TextSplits) {
  const ScratchFolder scratch;
  put(scratch / "a.txt", "one\n\ntwo<|endoftext|>  \n<|endoftext|>three\r\n \t\r\nfour\n");
  EXPECT_THAT(texts(scratch / "a.txt"), ElementsAre("one\n\ntwo", "three\r\n \t\r\nfour\n"));
  EXPECT_EQ(texts(scratch / "a.txt", {.text_split = TextSplit::file}).size(), 1u);
  put(scratch / "b.txt", "\n\n\none\ntwo\n\n \n\nthree\r\n\r\nfour\n\n");
  EXPECT_THAT(texts(scratch / "b.txt", {.text_split = TextSplit::blank_lines}),
              ElementsAre("one\ntwo", "three", "four"));
  put(scratch / "c.txt", "\xEF\xBB\xBFtext");
  EXPECT_THAT(texts(scratch / "c.txt"), ElementsAre("text"));
}

// Separators and lines that lie across the borders of the reader's chunks.
TEST(Readers, AnyLengthAcrossChunks) {
  const ScratchFolder scratch;
  Random random(4);
  std::vector<std::string> expected;
  std::string separated, blank, lines;
  for (int i = 0; i < 60; ++i) {
    const std::size_t length = 1 + random.below(i % 10 == 0 ? 2500000 : 60000);
    expected.push_back(std::string(length, static_cast<char>('a' + i % 26)));
    separated += expected.back() + "<|endoftext|>";
    blank += expected.back() + "\n \n";
    lines += "{\"text\":\"" + expected.back() + "\"}\n";
  }
  put(scratch / "a.txt", separated);
  put(scratch / "b.txt", blank);
  put(scratch / "c.jsonl", lines);
  pack(scratch / "d.jsonl.gz", lines);
  pack(scratch / "e.jsonl.zst", lines);
  EXPECT_EQ(texts(scratch / "a.txt"), expected);
  EXPECT_EQ(texts(scratch / "b.txt", {.text_split = TextSplit::blank_lines}), expected);
  for (const char* name : {"c.jsonl", "d.jsonl.gz", "e.jsonl.zst"}) {
    EXPECT_EQ(texts(scratch / name), expected) << name;
  }
}

TEST(Readers, JsonLines) {
  const ScratchFolder scratch;
  put(scratch / "a.jsonl",
      "{\"id\": 7, \"text\": \"h\\u00e9\\n\"}\r\n\n  \n{\"text\":\"\"}\n"
      "{\"messages\":[{\"role\":\"user\",\"content\":\"hi\",\"name\":\"x\"},"
      "{\"content\":\"你好\",\"role\":\"assistant\"}]}");
  DocumentReader reader({scratch / "a.jsonl"});
  Document document;
  ASSERT_TRUE(reader.next(document));
  EXPECT_EQ(document.text, "hé\n");
  EXPECT_FALSE(document.is_chat());
  EXPECT_EQ(reader.where(), (scratch / "a.jsonl").string() + ":1");
  ASSERT_TRUE(reader.next(document));
  ASSERT_EQ(document.messages.size(), 2u);
  EXPECT_EQ(document.messages[1].role, "assistant");
  EXPECT_EQ(document.messages[1].content, "你好");
  EXPECT_EQ(document.text, "");
  EXPECT_EQ(reader.where(), (scratch / "a.jsonl").string() + ":5");
  EXPECT_FALSE(reader.next(document));
  EXPECT_EQ(reader.documents(), 2);
}

TEST(Readers, BadLinesAreNamed) {
  const ScratchFolder scratch;
  const std::string deep(2000, '[');
  const struct {
    std::string line;
    const char* field;
  } cases[] = {
      {"{\"text\": \"a\"", "text"},
      {"{\"text\": \"a\"} x", "JSON"},
      {"nonsense", "JSON"},
      {"[1]", "JSON"},
      {"{\"text\": \"\\ud800\"}", "text"},
      {"{\"text\": \"a\xff\"}", "text"},
      {"{\"text\": \"\xed\xa0\x80\"}", "text"},
      {"{\"text\": 3}", "text"},
      {"{\"text\": null}", "text"},
      {"{\"txt\": \"a\"}", "text"},
      {"{\"text\": \"a\", \"text\": \"b\"}", "text"},
      {"{\"text\": \"a\", \"messages\": [{\"role\":\"user\",\"content\":\"\"}]}", "text"},
      {"{\"messages\": \"a\"}", "messages"},
      {"{\"messages\": []}", "messages"},
      {"{\"messages\": [1]}", "messages[0]"},
      {"{\"messages\": [{\"role\":\"user\"}]}", "messages[0].content"},
      {"{\"messages\": [{\"content\":\"a\"}]}", "messages[0].role"},
      {"{\"messages\": [{\"role\":\"boss\",\"content\":\"a\"}]}", "messages[0].role"},
      {"{\"messages\": [{\"role\":\"user\",\"content\":[]}]}", "messages[0].content"},
      {"{\"text\": " + deep + "}", "text[0][0]"},
  };
  for (const auto& c : cases) {
    put(scratch / "a.jsonl", "{\"text\":\"fine\"}\n" + c.line + "\n");
    std::string field;
    const std::string message = message_of<FormatError>([&] {
      try {
        texts(scratch / "a.jsonl");
      } catch (const FormatError& error) {
        field = error.field();
        throw;
      }
    });
    EXPECT_THAT(message, HasSubstr("a.jsonl:2")) << c.line.substr(0, 80);
    EXPECT_TRUE(field.starts_with(c.field)) << c.line.substr(0, 80) << field;
    EXPECT_THAT(message, Not(HasSubstr("TAPE_ERROR")));
  }
}

TEST(Readers, TruncatedAnywhereIsAnErrorOrADocument) {
  const ScratchFolder scratch;
  const std::string line = "{\"messages\":[{\"role\":\"user\",\"content\":\"é\\n\"}]}";
  for (std::size_t size = 1; size < line.size(); ++size) {
    put(scratch / "a.jsonl", line.substr(0, size));
    EXPECT_THROW(texts(scratch / "a.jsonl"), FormatError) << size;
  }
}

TEST(Readers, InvalidTextNamesTheByte) {
  const ScratchFolder scratch;
  put(scratch / "a.txt", "ok<|endoftext|>caf\xc3");
  EXPECT_THAT(message_of<FormatError>([&] { texts(scratch / "a.txt"); }), HasSubstr("byte 18"));
}

TEST(Readers, Limits) {
  const ScratchFolder scratch;
  put(scratch / "a.jsonl", "{\"text\":\"" + std::string(5000, 'a') + "\"}\n");
  EXPECT_EQ(texts(scratch / "a.jsonl", {.max_line_bytes = 6000}).size(), 1u);
  EXPECT_THAT(
      message_of<FormatError>([&] { texts(scratch / "a.jsonl", {.max_line_bytes = 4000}); }),
      HasSubstr("longer than 4000"));
  put(scratch / "b.txt", std::string(3 << 20, 'a'));
  EXPECT_THROW(texts(scratch / "b.txt", {.max_document_bytes = 1 << 20}), FormatError);
}

TEST(Readers, EmptyCorporaAreRefused) {
  const ScratchFolder scratch;
  put(scratch / "a.txt", "");
  put(scratch / "b.jsonl", "\n \n");
  EXPECT_THAT(message_of<UsageError>([&] { texts(scratch / "a.txt"); }), HasSubstr("empty"));
  EXPECT_THROW(texts(scratch / "b.jsonl"), UsageError);
  EXPECT_THROW(texts(scratch / "none.txt"), IoError);
  put(scratch / "c.jsonl.gz", "not gzip");
  EXPECT_THROW(texts(scratch / "c.jsonl.gz"), FormatError);
}

TEST(Readers, FindsFiles) {
  const ScratchFolder scratch;
  std::filesystem::create_directories(scratch / "x/deep");
  std::filesystem::create_directories(scratch / "x/.hidden");
  for (const char* name : {"x/b.txt", "x/a.jsonl", "x/deep/c.txt.gz", "x/deep/.d.txt",
                           "x/.hidden/e.txt", "x/readme.md", "y[1].txt"}) {
    put(scratch / name, "text");
  }
  const auto found = [&](std::vector<std::string> names) {
    for (std::string& name : names) name = (scratch / name).string();
    std::vector<std::string> out;
    for (const auto& path : find_corpus_files(names)) {
      out.push_back(path.lexically_relative(scratch.path()).string());
    }
    return out;
  };
  EXPECT_THAT(found({"x"}), ElementsAre("x/a.jsonl", "x/b.txt", "x/deep/c.txt.gz"));
  EXPECT_THAT(found({"x/b.txt", "x/*.txt", "x"}),
              ElementsAre("x/b.txt", "x/a.jsonl", "x/deep/c.txt.gz"));
  EXPECT_THAT(found({"x/{a,b}.*"}), ElementsAre("x/a.jsonl", "x/b.txt"));
  EXPECT_THAT(found({"y[1].txt"}), ElementsAre("y[1].txt"));
  EXPECT_THROW(found({"z*.txt"}), UsageError);
  EXPECT_THROW(found({"x/readme.md"}), UsageError);
  EXPECT_THROW(found({"x/.hidden/none"}), UsageError);
  EXPECT_THROW(find_corpus_files({}), UsageError);
  std::filesystem::create_directory(scratch / "void");
  EXPECT_THROW(found({"void"}), UsageError);
}

TEST(Utf8, FindsTheFirstBadByte) {
  EXPECT_FALSE(find_invalid_utf8("a é 你 😀"));
  for (const char* bad :
       {"\x80", "\xc0\x80", "\xc1\xbf", "\xe0\x80\x80", "\xed\xa0\x80", "\xf0\x80\x80\x80",
        "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xe4\xbd", "\xff"}) {
    EXPECT_EQ(find_invalid_utf8("é" + std::string(bad)), 2u);
    EXPECT_EQ(find_invalid_utf8("é" + std::string(bad) + "xyz"), 2u);
  }
  std::size_t at = 0;
  const std::string_view text = "aé你😀";
  EXPECT_EQ(next_code_point(text, at), U'a');
  EXPECT_EQ(next_code_point(text, at), U'é');
  EXPECT_EQ(next_code_point(text, at), U'你');
  EXPECT_EQ(next_code_point(text, at), U'😀');
  EXPECT_EQ(at, text.size());
}

}  // namespace
}  // namespace stepstone
