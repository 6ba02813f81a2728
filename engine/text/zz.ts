import { createTokenizer } from "./tokenizer.ts";
const d="/work/shared/models/smollm2-135m-instruct-int4/";
const j=JSON.parse(Deno.readTextFileSync(d+"tokenizer.json")); const c=JSON.parse(Deno.readTextFileSync(d+"tokenizer_config.json"));
c.chat_template=Deno.readTextFileSync(d+"chat_template.jinja");
const t=createTokenizer({tokenizer:j,tokenizerConfig:c,sampling:{}});
const o=JSON.parse(Deno.readTextFileSync("/work/shared/oracle/smollm2_tokenizer_oracle.json"));
let bad=0;
for(const k of o.cases){const a=t.encode(k.text,{addSpecialTokens:false}); if(JSON.stringify(a)!==JSON.stringify(k.ids)){bad++;console.log("E",JSON.stringify(k.text))}
 if(t.decode(k.ids)!==k.decoded||t.decode(k.ids,{skipSpecialTokens:true})!==k.decoded_skip_special){bad++;console.log("D",JSON.stringify(k.text))}}
for(const k of o.chat_cases){const a=t.chat(k.messages,{addGenerationPrompt:k.add_generation_prompt}); if(JSON.stringify(a)!==JSON.stringify(k.ids)){bad++;console.log("C",a,k.ids)}}
console.log("bad",bad,t.vocab, Deno.memoryUsage().rss/1e6);
for(const [n,s] of [["a","a"],["emoji","😀"],["space"," "],["words","the quick brown fox, "],["cjk","今日は"],["digits","7"],["!","!"],["nl","\n \n"]] as const){const x=s.repeat(1e7/s.length);const a=performance.now();const n2=t.encode(x).length;console.log(n,(performance.now()-a).toFixed(0),n2,(Deno.memoryUsage().rss/1e6).toFixed(0))}
