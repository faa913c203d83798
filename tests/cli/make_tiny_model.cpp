// make_tiny_model DIR: a chat model with random weights, for tests of the program.
#include <cstdio>
#include <exception>

#include "infer/test_support.h"
#include "stone/stone.h"

int main(int argc, char** argv) {
  using namespace stepstone;
  if (argc != 2) return 2;
  try {
    const auto model = testing::tiny_model("qwen3", 4096);
    const Tokenizer tokenizer = testing::tiny_tokenizer();
    save_stone(argv[1], {.model = model.get(),
                         .tokenizer = &tokenizer,
                         .chat_template = std::string(ChatTemplate::jinja()),
                         .about = {{"name", "tiny"}, {"kind", "test"}}});
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
  return 0;
}
