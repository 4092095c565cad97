"""The Ray Serve application: vLLM engines, and a gateway that any OpenAI client can talk to."""
