import teardown = require('./global-teardown.js');

export default teardown;
