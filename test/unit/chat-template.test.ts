// Chat templates: where they are found, how they are rendered, and what happens without one.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import t from "tap";
import { ChatTemplate, findChatTemplate } from "../../lib/model/chat-template.js";
import { Tokenizer } from "../../lib/model/tokenizer.js";
import { writeTinyModel } from "../support/tiny-model.js";

t.test("where the template is", async (t) => {
  t.equal(findChatTemplate({ chat_template: "a" }, undefined), "a");
  t.equal(findChatTemplate({ chat_template: "a" }, "b"), "b", "chat_template.jinja wins");
  const named = [
    { name: "tool_use", template: "t" },
    { name: "default", template: "d" },
  ];
  t.equal(findChatTemplate({ chat_template: named }, undefined), "d");
  t.equal(findChatTemplate({ chat_template: named.slice(0, 1) }, undefined), "t");
  t.equal(findChatTemplate({}, undefined), undefined);
  t.equal(findChatTemplate({ chat_template: [null, 3] }, undefined), undefined);
});

t.test("rendered as transformers does", async (t) => {
  const source =
    "{{ bos_token }}{%- for message in messages %}\n  {%- if message.role == 'system' and not loop.first %}{{ raise_exception('system must be first') }}{% endif %}\n" +
    "<{{ message['role'] }}>{{ message['content'] | trim }}\n{% endfor %}\n{% if add_generation_prompt %}<assistant>{% endif %}\n";
  const template = new ChatTemplate(source, { bos_token: "<s>" });
  const user = { role: "user", content: " hi " };
  t.equal(template.render([user]), "<s><user>hi\n<assistant>");
  t.equal(template.render([user], { addGenerationPrompt: false }), "<s><user>hi\n");
  t.throws(() => template.render([user, { role: "system", content: "x" }]), {
    code: "ERR_T2_INVALID_PROMPT",
    message: /system must be first/,
  });
  t.throws(() => new ChatTemplate("{% for x in %}", {}), { code: "ERR_T2_INVALID_TOKENIZER" });
  const tools = new ChatTemplate("{% if tools is not none %}tools{% else %}none{% endif %}{{ extra }}", {});
  t.equal(tools.render([user], { variables: { extra: 7 } }), "none7");
});

t.test("the date is the template's own where it has one", async (t) => {
  const asking = "{% if strftime_now is defined %}{{ strftime_now('%Y') }}{% else %}26 Jul 2024{% endif %}";
  t.equal(new ChatTemplate(asking, {}).render([]), "26 Jul 2024");
  const negated = "{% if strftime_now is not defined %}fixed{% else %}{{ strftime_now('%Y') }}{% endif %}";
  t.equal(new ChatTemplate(negated, {}).render([]), "fixed");
  t.equal(new ChatTemplate("{{ strftime_now('%Y') }}", {}).render([]), String(new Date().getFullYear()));
});

t.test("a folder with chat_template.jinja, and one with nothing", async (t) => {
  const folder = writeTinyModel(t.testdir(), { chatTemplate: false });
  const bare = await Tokenizer.load(folder);
  t.notOk(bare.hasChatTemplate);
  t.throws(() => bare.applyChatTemplate([{ role: "user", content: "x" }]), { code: "ERR_T2_NO_CHAT_TEMPLATE" });
  t.ok(bare.encode("raw text works").length);
  writeFileSync(join(folder, "chat_template.jinja"), "{% for m in messages %}[{{ m.content }}]{% endfor %}");
  t.equal((await Tokenizer.load(folder)).applyChatTemplate([{ role: "user", content: "x" }]), "[x]");
});
