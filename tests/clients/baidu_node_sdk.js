'use strict';
// Drives the vendor's npm SDK: a line of JSON in is a call, a line out its answer.
// Started as: FOLDER URL API_KEY SECRET_KEY. Only the host is patched, by the hook the SDK has for it.
const readline = require('readline');

const [folder, url, key, secret] = process.argv.slice(2);
const sdk = require(folder + '/node_modules/baidu-aip-sdk');

// One method's path has no slash in front, which no host without one at its end can help.
const HOST = /^https:\/\/aip\.baidubce\.com\/?/;
sdk.HttpClient.setRequestInterceptor(options => ({...options, url: options.url.replace(HOST, url + '/')}));

const client = new sdk.face('1', key, secret);
const INNER = ['constructor', 'commonImpl', 'jsonRequestImpl'];
const methods = Object.getOwnPropertyNames(sdk.face.prototype).filter(name => !INNER.includes(name)).sort();

async function answer([method, args]) {
    return method === 'list of methods' ? methods : client[method](...args);
}

async function main() {
    for await (const line of readline.createInterface({input: process.stdin})) {
        const told = await answer(JSON.parse(line)).catch(error => ({failed: String(error)}));
        process.stdout.write(JSON.stringify(told === undefined ? null : told) + '\n');
    }
}

main();
