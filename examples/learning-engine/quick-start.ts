/** Three calls to try, as README has them. */

/** In a shell; the last one some seconds after the others. */
export function quickStart(url: string): string {
  return `curl ${url}/feedback -H 'content-type: application/json' -d '{
  "feedback_type": "thumbs_up",
  "request_data": { "messages": [{ "role": "user", "content": "What do you see, sailor?" }] },
  "response_data": { "choices": [{ "message": { "content": "A sail, a sail! The wind is fair, my lads, and the ship comes to us from the sea." } }] }
}'
curl ${url}/train -H 'content-type: application/json' -d '{ "force": true }'
curl ${url}/generate -H 'content-type: application/json' -d '{ "prompt": "user: What do you see, sailor?\\n", "max_new_tokens": 24 }'`;
}
