#include "infer/chat_console.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <deque>
#include <thread>

#include "infer/test_support.h"
#include "io/test_support.h"

namespace stepstone {
namespace {

using Result = InputLines::Result;

EngineRequest short_answers() {
  EngineRequest options;
  options.max_tokens = 6;
  return options;
}

class ChatConsoleTest : public ::testing::Test {
 protected:
  ChatConsoleTest() {
    console.read = [this](std::string& line) {
      if (input.empty()) return Result::end;
      line = input.front().second;
      const Result result = input.front().first;
      input.pop_front();
      return result;
    };
    console.out = [this](std::string_view text) { out += text; };
    console.notes = [this](std::string_view text) { notes += text; };
    console.interrupted = [] { return false; };
  }

  ChatEnd run(std::initializer_list<std::string> lines) {
    for (const std::string& line : lines) input.push_back({Result::line, line});
    return run_chat(session, console);
  }

  Stone stone{.folder = "tiny",
              .model = testing::tiny_model("qwen3", 128),
              .tokenizer = testing::tiny_tokenizer(),
              .chat_template = std::string(ChatTemplate::jinja()),
              .about = {}};
  Generator generator{stone};
  ChatSession session{stone, generator, short_answers()};
  ChatConsole console;
  std::deque<std::pair<Result, std::string>> input;
  std::string out, notes;
};

TEST_F(ChatConsoleTest, AnswersAloneGoOut) {
  EXPECT_EQ(run({"hello", "", "more"}), ChatEnd::done);
  ASSERT_EQ(session.messages().size(), 4u);
  // An empty line is answered by one, so that lines and answers stay in step.
  EXPECT_EQ(out, session.messages()[1].content + "\n\n" + session.messages()[3].content + "\n");
  EXPECT_EQ(notes, "");
}

TEST_F(ChatConsoleTest, CommandsDoWhatTheySay) {
  const testing::ScratchFolder folder;
  const std::string file = (folder / "chat.jsonl").string();
  EXPECT_EQ(run({"/help", "/system be kind", "hello", "/regen", "/save  " + file + " ", "/reset",
                 "/quit", "not read"}),
            ChatEnd::done);
  EXPECT_TRUE(session.messages().empty());
  EXPECT_EQ(session.system(), "be kind");
  EXPECT_EQ(input.size(), 1u);
  EXPECT_EQ(read_json(file)["messages"].size(), 3u);
  EXPECT_NE(notes.find("/regen"), std::string::npos);
}

TEST_F(ChatConsoleTest, ComplaintsDoNotEndIt) {
  const testing::ScratchFolder folder;
  input.push_back({Result::too_long, "xxx"});
  EXPECT_EQ(run({"/regen", "/save", "/save " + (folder / "no" / "file").string(), "/hlep",
                 std::string(500, 'x'), "hello"}),
            ChatEnd::failed);
  EXPECT_NE(notes.find("too long"), std::string::npos);
  EXPECT_NE(notes.find("did you mean \"/help\""), std::string::npos);
  EXPECT_EQ(session.messages().size(), 2u);
  EXPECT_EQ(run({"hello"}), ChatEnd::done);
}

TEST_F(ChatConsoleTest, AProgramIsToldOfAMessageThatFailed) {
  EXPECT_EQ(run({std::string(500, 'x'), "hello"}), ChatEnd::failed);
  EXPECT_EQ(run({"hello", "/save"}), ChatEnd::failed);
  console.terminal = true;  // a person has seen it
  EXPECT_EQ(run({std::string(500, 'x'), "hello"}), ChatEnd::done);
}

TEST_F(ChatConsoleTest, CtrlCEndsTheAnswerAndAtATerminalNotTheChat) {
  console.terminal = true;
  int polls = 0;
  console.interrupted = [&] { return ++polls == 4; };
  input.push_back({Result::interrupted, ""});
  EXPECT_EQ(run({"hello"}), ChatEnd::done);
  ASSERT_EQ(session.messages().size(), 2u);
  EXPECT_NE(notes.find("/quit ends"), std::string::npos);
  console.terminal = false;
  input.push_back({Result::interrupted, ""});
  EXPECT_EQ(run({}), ChatEnd::interrupted);
}

TEST_F(ChatConsoleTest, ALineThatIsNotUtf8IsRefusedAndTheNextAnswered) {
  EXPECT_EQ(run({"ab\xFF", "hello", "/system \xC3"}), ChatEnd::failed);
  EXPECT_EQ(notes,
            "line 1: text (byte 2): is not valid UTF-8\ntext (byte 8): is not valid UTF-8\n");
  ASSERT_EQ(session.messages().size(), 2u);
  EXPECT_EQ(session.system(), "");
  EXPECT_EQ(out, "\n" + session.messages()[1].content + "\n");
}

TEST(WithoutControls, KeepsTextAlone) {
  EXPECT_EQ(without_controls("a\tb\n你好"), "a\tb\n你好");
  EXPECT_EQ(without_controls("\x1b[2J\x7f\xC2\x9B"), "\xEF\xBF\xBD[2J\xEF\xBF\xBD\xEF\xBF\xBD");
}

// What InputLines makes of `text` written in pieces of `piece` bytes.
std::vector<std::pair<Result, std::string>> lines_of(const std::string& text, std::size_t piece,
                                                     std::size_t max_line) {
  int ends[2];
  EXPECT_EQ(::pipe(ends), 0);
  std::jthread writer([&] {
    for (std::size_t i = 0; i < text.size(); i += piece) {
      const std::string part = text.substr(i, piece);
      EXPECT_EQ(::write(ends[1], part.data(), part.size()), static_cast<ssize_t>(part.size()));
    }
    ::close(ends[1]);
  });
  InputLines input(ends[0], max_line);
  std::vector<std::pair<Result, std::string>> lines;
  std::string line;
  for (Result r = input.next(line); r != Result::end; r = input.next(line)) {
    lines.push_back({r, line});
  }
  ::close(ends[0]);
  return lines;
}

TEST(InputLines, AnyBytesInAnyPieces) {
  const std::string text("one\r\n\n\0\xff two\nlonger than ten\nlast", 33);
  const std::vector<std::pair<Result, std::string>> expected = {
      {Result::line, "one"},
      {Result::line, ""},
      {Result::line, std::string("\0\xff two", 6)},
      {Result::too_long, "longer tha"},
      {Result::line, "last"}};
  for (const std::size_t piece : {1u, 3u, 100u}) EXPECT_EQ(lines_of(text, piece, 10), expected);
}

TEST(InputLines, MegabytesWithoutALineBreak) {
  const auto lines = lines_of(std::string(3 << 20, 'x') + "\nnext\n", 65536, 1 << 20);
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_EQ(lines[0].first, Result::too_long);
  EXPECT_EQ(lines[0].second.size(), std::size_t{1} << 20);
  EXPECT_EQ(lines[1].second, "next");
}

}  // namespace
}  // namespace stepstone
