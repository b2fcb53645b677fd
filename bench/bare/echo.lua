wrk.method = "POST"
wrk.headers["content-type"] = "application/json"
wrk.body = '{"name":"Ada Lovelace","age":36,"tags":["mathematics","engines","poetry"],"email":"ada@example.org"}'
