wrk.method = "POST"
wrk.headers["content-type"] = "application/json"
wrk.body = '{"name":"Reykjavík","country":"IS","population":118918,"lat":64.13548,"lon":-21.89541}'
wrk.headers["authorization"] = "Bearer " .. os.getenv("BENCH_TOKEN")
