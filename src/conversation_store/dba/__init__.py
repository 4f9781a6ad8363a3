"""What the commands for reviewers and DBAs do: the catalogue of query files, their plans, and checks of both."""
