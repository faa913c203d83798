#include "data/stats.h"

#include <gtest/gtest.h>

#include "data/synth_files.h"
#include "io/file.h"
#include "io/test_support.h"

namespace stepstone {
namespace {

using testing::ScratchFolder;

TEST(Stats, GuessesLanguages) {
  EXPECT_EQ(guess_language("The cat was in the garden and it was happy."), TextLanguage::en);
  EXPECT_EQ(guess_language("小猫在花园里，它很高兴。"), TextLanguage::zh);
  EXPECT_EQ(guess_language("我用 Stepstone 训练了一个小模型，效果不错。"), TextLanguage::zh);
  EXPECT_EQ(guess_language("猫は庭にいて、とても幸せでした。"), TextLanguage::ja);
  EXPECT_EQ(guess_language("고양이는 정원에 있었고 행복했습니다."), TextLanguage::ko);
  EXPECT_EQ(guess_language("Le chat dormait dans le jardin, il semblait heureux."),
            TextLanguage::other);
  EXPECT_EQ(guess_language("Кошка была в саду, и ей было хорошо."), TextLanguage::other);
  EXPECT_EQ(guess_language("3 + 4 = 7"), TextLanguage::other);
  EXPECT_EQ(guess_language(""), TextLanguage::other);
}

TEST(Stats, Counts) {
  const ScratchFolder scratch;
  testing::put(scratch / "a.jsonl",
               "{\"text\":\"The cat is here.\"}\n{\"text\":\"你好世界\"}\n"
               "{\"text\":\"The cat is here.\"}\n"
               "{\"messages\":[{\"role\":\"user\",\"content\":\"Who is it?\"},"
               "{\"role\":\"assistant\",\"content\":\"It is me.\"}]}\n");
  DocumentReader reader({scratch / "a.jsonl"});
  const CorpusStats stats = corpus_stats(reader, 1);
  EXPECT_EQ(stats.documents, 4);
  EXPECT_EQ(stats.chats, 1);
  EXPECT_EQ(stats.messages, 2);
  EXPECT_EQ(stats.bytes, 16 + 12 + 16 + 19);
  EXPECT_EQ(stats.characters, 16 + 4 + 16 + 19);
  EXPECT_EQ(stats.words, 4 + 4 + 4 + 6);
  EXPECT_EQ(stats.language_documents[static_cast<int>(TextLanguage::en)], 3);
  EXPECT_EQ(stats.language_bytes[static_cast<int>(TextLanguage::zh)], 12);
  EXPECT_EQ(stats.duplicates, 1);
  EXPECT_EQ(stats.duplicate_bytes, 16);
  EXPECT_EQ(stats.length_histogram, (std::vector<std::int64_t>{0, 0, 1, 0, 3}));
  EXPECT_EQ(stats.shortest, 4);
  EXPECT_EQ(stats.longest, 19);
  EXPECT_NEAR(static_cast<double>(stats.median), 16, 1);
  const Json json = to_json(stats);
  EXPECT_EQ(json["languages"]["zh"]["documents"], 1);
  EXPECT_EQ(json["length"]["histogram"].size(), 2u);
}

TEST(SynthFiles, WritesWhatTheReaderReads) {
  const ScratchFolder scratch;
  const Synth synth({});
  for (const char* name : {"d.jsonl", "d.jsonl.zst"}) {
    const auto written =
        write_synth_documents(scratch / name, synth, Split::train, {.documents = 50});
    EXPECT_EQ(written.documents, 50);
    DocumentReader reader({scratch / name});
    Document document;
    for (std::uint64_t i = 0; i < 50; ++i) {
      ASSERT_TRUE(reader.next(document));
      EXPECT_EQ(document.text, synth.document(Split::train, i));
    }
    EXPECT_FALSE(reader.next(document));
  }
  const auto written = write_synth_chats(scratch / "c.jsonl", synth, Split::val, {.bytes = 3000});
  EXPECT_GE(written.bytes, 3000);
  EXPECT_LT(written.bytes, 4000);
  DocumentReader reader({scratch / "c.jsonl"});
  Document document;
  ASSERT_TRUE(reader.next(document));
  const auto chat = synth.chat(Split::val, 0);
  ASSERT_EQ(document.messages.size(), chat.size());
  EXPECT_EQ(document.messages[0].content, chat[0].content);
  EXPECT_THROW(write_synth_chats(scratch / "e.jsonl", synth, Split::val, {}), UsageError);
  EXPECT_THROW(write_synth_chats(scratch / "e.txt", synth, Split::val, {.documents = 1}),
               UsageError);
  EXPECT_EQ(scratch.listing(), "c.jsonl d.jsonl d.jsonl.zst");
}

TEST(Stats, SyntheticTextIsGuessedRight) {
  SynthOptions options;
  options.document_weights = {1, 1, 0, 0, 0, 0};
  for (const bool chinese : {false, true}) {
    options.chinese = chinese;
    const Synth synth(options);
    int right = 0;
    for (std::uint64_t i = 0; i < 300; ++i) {
      right += guess_language(synth.document(Split::train, i)) ==
               (chinese ? TextLanguage::zh : TextLanguage::en);
    }
    EXPECT_GT(right, 270);
  }
}

}  // namespace
}  // namespace stepstone
